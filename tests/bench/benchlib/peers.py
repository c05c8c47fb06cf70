"""The other supervisors: one class each, and one more where settings make it faster. README.md says how to add one."""
import glob
import json
import os
import shutil
import subprocess
import time

from .adapters import Bare, Failed, Monitor, MonitorFast, Supervisor, free_port

KEPT_BYTES = 16777215  # where loggers begin the next file; enough files are kept that nothing is thrown away


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as f:
        f.write(text)
    os.chmod(path, mode)


class Peer(Supervisor):
    """Asked by its own command line."""

    # All of them call an end within the first second a failure, and wait then.
    settle_s = 1.5
    rest_s = 1.5

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def program(self, name):
        return shutil.which(name)

    def pids(self):
        return self.helpers()

    def restart_argv(self):
        raise NotImplementedError

    def restart_begin(self):
        return subprocess.Popen(self.restart_argv(), env=self.env(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def restart_end(self, handle):
        """A status other than 0 is no failure: sv gives up waiting before all are up, and they come up all the same."""
        handle.wait()

    def wait_ready(self, timeout_s):
        end = time.monotonic() + timeout_s
        while True:
            done = subprocess.run(self.status_argv(), env=self.env(), stdin=subprocess.DEVNULL, capture_output=True)
            up = self.count_up(done.stdout)
            if up == self.n:
                return
            if time.monotonic() > end:
                raise Failed(f'{up} of {self.n} services up after {timeout_s:.0f} s')
            time.sleep(0.1)


class Supervisord(Peer):
    programs = ('supervisord', 'supervisorctl')
    packages = ('supervisor',)
    how = 'defaults, `nodaemon`, `minfds` to fit; its own logs, 50 MB each; XML-RPC over TCP'
    exact = False  # the answer tells the time
    program_lines = ''

    def setup(self):
        self.port = free_port()
        os.makedirs(self.path('logs'))
        sections = [f'''[unix_http_server]
file={self.path('sock')}
[inet_http_server]
port=127.0.0.1:{self.port}
[supervisord]
logfile={self.path('supervisord.log')}
pidfile={self.path('supervisord.pid')}
nodaemon=true
minfds={1024 if self.n <= 150 else 5 * self.n + 200}
user=root
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{self.path('sock')}
''']
        sections += [f'[program:{name}]\ncommand={" ".join(self.service(name))}\n'
                     f'stdout_logfile={self.path("logs", name)}\n{self.program_lines}' for name in self.names]
        write(self.path('conf'), ''.join(sections))

    def argv(self):
        return [self.program('supervisord'), '-c', self.path('conf')]

    def consoles(self, name):
        return glob.glob(self.path('logs', name + '*'))

    def restart_argv(self):
        return [self.program('supervisorctl'), '-c', self.path('conf'), 'restart', 'all']

    def status_argv(self):
        return [self.program('supervisorctl'), '-c', self.path('conf'), 'status']

    def status_http(self):
        return self.port, '/RPC2'

    def status_posted(self):
        return (b"<?xml version='1.0'?><methodCall><methodName>supervisor.getAllProcessInfo</methodName>"
                b'<params></params></methodCall>')

    def count_up(self, output):
        return output.count(b'RUNNING')


class SupervisordFast(Supervisord):
    how = '`startsecs=0`, `autorestart=true`, no rotation of logs'
    program_lines = 'startsecs=0\nautorestart=true\nstdout_logfile_maxbytes=0\n'
    leave_out = ('http', 'command', 'idle', 'memory', 'crash', 'size')


class Monit(Peer):
    """It keeps no output and starts only what becomes a daemon by itself: a line of shell does both for the service."""

    programs = ('monit',)
    packages = ('monit',)
    how = '`set daemon 1`, the shortest there is (Debian ships 120); pidfile checks; `monit -I`'
    polling = True
    exact = False
    settle_s = 3.0  # a start is checked for a while

    def setup(self):
        self.port = free_port()
        lines = [f'''set daemon 1
set log {self.path('monit.log')}
set pidfile {self.path('monit.pid')}
set idfile {self.path('monit.id')}
set statefile {self.path('monit.state')}
set httpd port {self.port} and use address 127.0.0.1 allow 127.0.0.1
''']
        for name in self.names:
            pidfile = self.path('pids', name)
            command = f'{" ".join(self.service(name))} >>{self.path(name + ".out")} 2>&1 & echo $! >{pidfile}'
            lines.append(f'check process {name} with pidfile {pidfile}\n'
                         f'  start program = "/bin/sh -c \'{command}\'"\n'
                         f'  stop program = "/bin/sh -c \'kill $(cat {pidfile})\'"\n')
        os.makedirs(self.path('pids'))
        write(self.path('rc'), ''.join(lines), 0o600)

    def argv(self):
        return [self.program('monit'), '-I', '-c', self.path('rc')]

    def consoles(self, name):
        return [self.path(name + '.out')]

    def restart_argv(self):
        return [self.program('monit'), '-c', self.path('rc'), 'restart', 'all']

    def status_argv(self):
        return [self.program('monit'), '-c', self.path('rc'), 'status']

    def status_http(self):
        return self.port, '/_status?format=xml'

    def count_up(self, output):
        """Of the text or of the XML; one of those that are well is the host itself."""
        if output.lstrip().startswith(b'<?xml'):
            return output.count(b'<status>0</status>') - 1
        return sum(1 for line in output.splitlines() if line.split()[:2] == [b'status', b'OK']) - 1


class ScanFolder(Peer):
    """A folder of folders with a `run` script each; a logger where the measurement is about what services write."""

    def setup(self):
        for name in self.names:
            folder = self.path('scan', name)
            write(os.path.join(folder, 'run'), f'#!/bin/sh\nexec {" ".join(self.service(name))}\n', 0o755)
            self.setup_more(folder)
            if self.options.get('args'):
                os.makedirs(self.path('log-' + name))
                logger = self.logger(self.path('log-' + name))
                write(os.path.join(folder, 'log', 'run'), f'#!/bin/sh\nexec {logger}\n', 0o755)
                os.chmod(folder, 0o1755)  # the sticky bit tells daemontools that there is a logger

    def setup_more(self, folder):
        pass

    def logger(self, folder):
        raise NotImplementedError

    def consoles(self, name):
        return [path for path in glob.glob(self.path('log-' + name, '*'))
                if os.path.basename(path) not in ('lock', 'state', 'status', 'config')]

    def folders(self):
        return [self.path('scan', name) for name in self.names]


class S6(ScanFolder):
    programs = ('s6-svscan', 's6-supervise', 's6-svc', 's6-svstat', 's6-log')
    packages = ('s6',)
    how = '`s6-svscan`; `run` is sh + exec; no loggers but where logs are measured; commands in a shell loop'

    def argv(self):
        return [self.program('s6-svscan'), '-c', str(4 * self.n + 100), self.path('scan')]

    def loop(self, command):
        return ['/bin/sh', '-c', f'for d in {self.path("scan")}/*; do {command} $d; done']

    def restart_argv(self):
        return self.loop('s6-svc -r')

    def status_argv(self):
        return self.loop('s6-svstat')

    def count_up(self, output):
        return output.count(b'up (pid')

    def logger(self, folder):
        return f's6-log n1000 s{KEPT_BYTES} {folder}'


class S6Fast(S6):
    how = '`notification-fd`: who says it is ready is started again without the pause of 1 s; in memory (tmpfs)'
    in_memory = True
    leave_out = ('command', 'idle', 'memory', 'log', 'crash', 'size')

    def service(self, name):
        return [*super().service(name), '-r', '3']

    def setup_more(self, folder):
        write(os.path.join(folder, 'notification-fd'), '3\n')


class Runit(ScanFolder):
    programs = ('runsvdir', 'runsv', 'sv', 'svlogd')
    packages = ('runit',)
    how = '`runsvdir`; `run` is sh + exec; no loggers but where logs are measured'

    def setup(self):
        super().setup()
        time.sleep(2.1)  # it waits a second at start when its folder is younger than that

    def argv(self):
        return [self.program('runsvdir'), self.path('scan')]

    def restart_argv(self):
        return [self.program('sv'), 'restart', *self.folders()]

    def status_argv(self):
        return [self.program('sv'), 'status', *self.folders()]

    def count_up(self, output):
        return sum(1 for line in output.splitlines() if line.startswith(b'run: '))

    def logger(self, folder):
        write(os.path.join(folder, 'config'), f's{KEPT_BYTES}\nn0\n')
        return f'svlogd {folder}'


class RunitFast(Runit):
    how = 'in memory (tmpfs)'
    in_memory = True
    leave_out = ('command', 'idle', 'memory', 'log', 'crash', 'size')


class Daemontools(ScanFolder):
    programs = ('svscan', 'supervise', 'svc', 'svstat', 'multilog')
    packages = ('daemontools',)
    how = '`svscan`; `run` is sh + exec; no loggers but where logs are measured'

    def argv(self):
        return [self.program('svscan'), self.path('scan')]

    def restart_argv(self):
        return [self.program('svc'), '-t', *self.folders()]

    def status_argv(self):
        return [self.program('svstat'), *self.folders()]

    def count_up(self, output):
        return output.count(b': up (pid')

    def logger(self, folder):
        return f'multilog n1000 s{KEPT_BYTES} {folder}'


class DaemontoolsFast(Daemontools):
    how = 'in memory (tmpfs)'
    in_memory = True
    leave_out = ('command', 'idle', 'memory', 'log', 'crash', 'size')


class Pm2(Peer):
    """`pm2 start` leaves its daemon behind and ends: that one is the supervisor."""

    programs = ('pm2', 'node')
    how = 'fork mode, no interpreter, a `PM2_HOME` of its own'
    app = {}

    @classmethod
    def package_file(cls):
        """The package.json of the pm2 that is on PATH."""
        return os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(shutil.which('pm2')))), 'package.json')

    @classmethod
    def version(cls, options):
        node = subprocess.run(['node', '--version'], capture_output=True, text=True).stdout.strip()
        with open(cls.package_file()) as f:  # not `pm2 --version`, which starts a daemon
            return f'{json.load(f)["version"]}, node {node}'

    def env(self):
        return dict(os.environ, PM2_HOME=self.path('pm2'), PM2_DISABLE_VERSION_CHECK='true', NO_UPDATE_NOTIFIER='1')

    def setup(self):
        apps = [{'name': name, 'script': self.tools['service'], 'args': self.service(name)[1:], 'interpreter': 'none',
                 'exec_mode': 'fork', 'cwd': self.folder, 'out_file': self.path(name + '.out'),
                 'error_file': self.path(name + '.err'), **self.app} for name in self.names]
        write(self.path('apps.config.json'), json.dumps({'apps': apps}))

    def argv(self):
        return [self.program('pm2'), 'start', self.path('apps.config.json')]

    def ended(self):
        return False

    def wait_ready(self, timeout_s):
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # its daemon, whose number it is by now
        super().wait_ready(timeout_s)
        with open(self.path('pm2', 'pm2.pid')) as f:
            self.pid = int(f.read())

    def consoles(self, name):
        return glob.glob(self.path(f'{name}*.out'))

    def restart_argv(self):
        return [self.program('pm2'), 'restart', 'all']

    def status_argv(self):
        return [self.program('pm2'), 'jlist']

    def count_up(self, output):
        return output.count(b'"status":"online"')


class Pm2Fast(Pm2):
    how = '`vizion` and `pmx` off'
    app = {'vizion': False, 'pmx': False, 'restart_delay': 0}
    leave_out = ('command', 'idle', 'log', 'crash', 'size')


ADAPTERS = {'bare': Bare, 'monitor': Monitor, 'monitor-fast': MonitorFast, 'supervisor': Supervisord,
            'supervisor-fast': SupervisordFast, 'monit': Monit, 's6': S6, 's6-fast': S6Fast, 'runit': Runit,
            'runit-fast': RunitFast, 'daemontools': Daemontools, 'daemontools-fast': DaemontoolsFast, 'pm2': Pm2, 'pm2-fast': Pm2Fast}

APT = ('supervisor', 'monit', 's6', 'runit', 'daemontools')


def missing(name):
    """The programs of this supervisor that are not on PATH."""
    return [program for program in ADAPTERS[name].programs if not shutil.which(program)]


def install():
    """Installs what Debian has, for measurements alone: policy-rc.d forbids for that time that anything be started."""
    policy = '/usr/sbin/policy-rc.d'
    ours = not os.path.exists(policy)
    if ours:
        write(policy, '#!/bin/sh\nexit 101\n', 0o755)
    try:
        subprocess.run(['apt-get', 'install', '-y', '--no-install-recommends', *APT], check=True,
                       env=dict(os.environ, DEBIAN_FRONTEND='noninteractive'))
    finally:
        if ours:
            os.unlink(policy)
