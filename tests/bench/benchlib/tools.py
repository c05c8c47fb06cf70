"""Builds the small C programs beside this folder, when they are missing or older than their source."""
import os
import subprocess

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

FLAGS = ['-std=gnu11', '-D_GNU_SOURCE', '-O2', '-g', '-Wall', '-Wextra', '-Wshadow', '-Wconversion',
         '-Wno-sign-conversion', '-Wmissing-prototypes', '-Wstrict-prototypes', '-Wvla']

# What a measurement starts over and over is static: no dynamic linking in the numbers.
PROGRAMS = {
    'service': ['-static'],
    'nsinit': ['-static'],
    'bare_loop': ['-static'],
    'load': ['-static'],
    'probes': ['-static'],
    'bare_http': ['-lmicrohttpd'],
}


class ToolError(Exception):
    """A program could not be built; the text says why."""


def build(folder):
    """Builds every program into the folder and returns {name: absolute path}."""
    os.makedirs(folder, exist_ok=True)
    cc = os.environ.get('CC', 'cc')
    paths = {}
    for name, libs in PROGRAMS.items():
        source = os.path.join(HERE, name + '.c')
        target = os.path.abspath(os.path.join(folder, name))
        paths[name] = target
        if os.path.exists(target) and os.path.getmtime(target) > os.path.getmtime(source):
            continue
        fresh = f'{target}.{os.getpid()}'
        try:
            subprocess.run([cc, *FLAGS, '-o', fresh, source, *libs], check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise ToolError(f'no C compiler: {cc} (Debian: apt-get install gcc libc6-dev libmicrohttpd-dev)') from None
        except subprocess.CalledProcessError as e:
            raise ToolError(f'{name}.c does not build:\n{e.stderr.strip()}') from None
        os.rename(fresh, target)
    return paths
