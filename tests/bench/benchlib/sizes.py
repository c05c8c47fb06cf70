"""What an installed supervisor takes on disk, by Debian's own count of installed packages."""
import os
import re
import subprocess

from .peers import ADAPTERS, Pm2

FIELDS = ('Package', 'Essential', 'Installed-Size', 'Provides', 'Pre-Depends', 'Depends', 'db:Status-Status')


def installed():
    """name -> {'size' in KiB, 'needs': [[alternative names ...], ...], 'essential'}; virtual names point to the first
    package that provides them."""
    form = '\\t'.join('${%s}' % field for field in FIELDS) + '\\n'
    text = subprocess.run(['dpkg-query', '-W', '-f', form], capture_output=True, text=True, check=True).stdout
    packages, provided = {}, {}
    for line in text.splitlines():
        name, essential, size, provides, before, needs, status = line.split('\t')
        if status != 'installed':
            continue
        packages[name] = {'size': int(size or 0), 'essential': essential == 'yes',
                          'needs': wishes(before) + wishes(needs)}
        for virtual in wishes(provides):
            provided.setdefault(virtual[0], packages[name] | {'name': name})
    return packages, {virtual: package['name'] for virtual, package in provided.items()}


def wishes(text):
    """'a (>= 1), b | c:any' -> [['a'], ['b', 'c']]"""
    return [[re.split(r'[ :(]', name.strip())[0] for name in wish.split('|')]
            for wish in text.split(',') if wish.strip()]


def closure(names, packages, provided):
    """The packages, with everything installed that they depend on."""
    found, todo = set(), list(names)
    while todo:
        name = todo.pop()
        name = name if name in packages else provided.get(name)
        if not name or name in found:
            continue
        found.add(name)
        for alternatives in packages[name]['needs']:
            there = [wish for wish in alternatives if wish in packages or wish in provided]
            todo += there[:1]
    return found


def owner(path):
    """The package a file belongs to, or None."""
    for name in (path, os.path.realpath(path), os.path.realpath(path).replace('/usr/lib/', '/lib/', 1)):
        done = subprocess.run(['dpkg-query', '-S', name], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.split(':')[0]
    return None


def libraries(binary):
    """The libraries a program is linked with, and those it opens when it needs them: their names are in it."""
    linked = subprocess.run(['ldd', binary], capture_output=True, text=True).stdout
    paths = re.findall(r'=> (/\S+)', linked)
    known = {}
    cache = subprocess.run(['/sbin/ldconfig', '-p'], capture_output=True, text=True).stdout
    for name, path in re.findall(r'^\s+(\S+) .*=> (\S+)$', cache, re.M):
        known.setdefault(name, path)  # the first is for this machine's own kind of program
    with open(binary, 'rb') as f:
        opened = {name.decode() for name in re.findall(rb'lib[a-z0-9_+-]+\.so\.[0-9]+', f.read())}
    opened -= {os.path.basename(path) for path in paths}
    return paths + [known[name] for name in opened if name in known]


def own_files(name, options):
    """(bytes that belong to no package, names of the packages it begins with)."""
    if name == 'monitor':
        owners = {owner(path) for path in libraries(options['bin'])} - {None}
        return os.path.getsize(options['bin']), sorted(owners)
    if name == 'pm2':
        modules = os.path.dirname(os.path.dirname(Pm2.package_file()))
        blocks = sum(os.lstat(os.path.join(folder, file)).st_blocks
                     for folder, _, files in os.walk(modules) for file in files)
        return 512 * blocks, [owner_of_node()]
    return 0, ADAPTERS[name].packages


def owner_of_node():
    done = subprocess.run(['node', '-p', 'process.execPath'], capture_output=True, text=True)
    return owner(done.stdout.strip()) or ''


def of(name, options):
    """{'mib', 'own_mib', 'packages'}: all that must be there beyond what every Debian has (its essential packages and
    what those need); of that the supervisor's own files. None where it is not installed from packages."""
    packages, provided = installed()
    extra, begin = own_files(name, options)
    if not extra and not begin:
        return None
    base = closure([key for key, package in packages.items() if package['essential']], packages, provided)
    needed = closure(begin, packages, provided) - base
    own = extra / 1024 + sum(packages[key]['size'] for key in ADAPTERS[name].packages)
    return {'mib': (extra / 1024 + sum(packages[key]['size'] for key in needed)) / 1024, 'own_mib': own / 1024,
            'packages': len(needed)}
