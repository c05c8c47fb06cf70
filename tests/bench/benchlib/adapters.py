"""What all supervisors have in common, the yardstick and our own monitor; the others are in peers.py."""
import glob
import json
import os
import signal
import socket
import subprocess
import time

from . import proc


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def get(port, path, timeout_s=60, posted=None):
    """One HTTP request, POST of XML where there is something to post -> (status, content type, body)."""
    import http.client
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=timeout_s)
    try:
        if posted:
            connection.request('POST', path, posted, {'Content-Type': 'text/xml'})
        else:
            connection.request('GET', path)
        answer = connection.getresponse()
        return answer.status, answer.headers.get('Content-Type', 'text/plain'), answer.read()
    finally:
        connection.close()


class Failed(Exception):
    """The supervisor did not do what was asked; the text says what."""


class Supervisor:
    """Runs inside the measurement's own pid namespace; everything it makes lies under self.folder."""

    # True where an end is found by looking now and then: the moment of each kill is then spread over a second.
    polling = False
    # A service must have been up for so long before it is killed; after so many kills, for so long before the next.
    settle_s = 0.5
    burst = 1
    rest_s = 0.5
    # Started a second time on the same files, has it less to do? Then that is a row of its own.
    starts_again = False
    # Is every answer to the same question the same, byte for byte?
    exact = True
    # Rows in which another setting of the same supervisor does not matter: they are measured at its defaults alone.
    leave_out = ()
    # True: everything of it lies in memory, where there is a /dev/shm.
    in_memory = False
    # What must be on PATH, what of it is installed, and how it runs: a line for the report.
    programs = ()
    packages = ()
    how = ''

    def __init__(self, folder, n, tools, options):
        self.folder, self.n, self.tools, self.options = folder, n, tools, options
        self.names = [f's{i:04d}' for i in range(n)]
        self.events = os.path.join(folder, 'events')
        self.pid = None

    @classmethod
    def version(cls, options):
        """What the report calls its version."""
        done = subprocess.run(['dpkg-query', '-W', '-f', '${Version}', *cls.packages[:1]], capture_output=True,
                              text=True)
        return done.stdout or '?'

    def setup(self):
        """Writes the configuration; not measured."""

    def service(self, name):
        """The command line of a service."""
        return [self.tools['service'], name, self.events, *self.options.get('args', ())]

    def consoles(self, name):
        """The files that hold what the service wrote."""
        raise NotImplementedError

    def argv(self):
        """The command that starts the supervisor in the foreground."""
        raise NotImplementedError

    def env(self):
        return os.environ

    def start_env(self):
        """That of the supervisor itself; its commands have env()."""
        return self.env()

    def start(self):
        """Starts it: posix_spawn, which copies nothing of this process. Returns the realtime just before, in ns."""
        argv = self.argv()
        log = os.path.join(self.folder, 'output.log')
        actions = [(os.POSIX_SPAWN_OPEN, 0, '/dev/null', os.O_RDONLY, 0),
                   (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                   (os.POSIX_SPAWN_DUP2, 1, 2)]
        began = time.time_ns()
        self.pid = os.posix_spawn(argv[0], argv, self.start_env(), file_actions=actions)
        return began

    def ended(self):
        """Whether its own process is gone; takes its status."""
        return os.waitpid(self.pid, os.WNOHANG)[0] != 0

    def wait_ready(self, timeout_s):
        """Returns once the supervisor itself says that all services are up; after the start lines were seen."""

    def pids(self):
        """The processes whose memory and CPU time count; helpers() where there are several."""
        return [self.pid]

    def helpers(self):
        """Every process of the namespace but its init, the harness and the services."""
        return [p for p in proc.pids()
                if p not in (1, os.getpid()) and proc.exe(p) not in (None, self.tools['service'])]

    def restart_begin(self):
        """Asks for a restart of all services, without waiting for it. Returns what restart_end needs."""
        raise NotImplementedError

    def restart_end(self, handle):
        """Waits until the supervisor says it is done. Raises Failed when it says it did not work."""

    def status_http(self):
        """(port, path) of the status of all services over HTTP, or None."""
        return None

    def status_posted(self):
        """What is posted to ask for it, bytes; None where it is asked for by GET."""
        return None

    def status_argv(self):
        """The command line that prints the status of all services, or None."""
        return None

    def count_up(self, output):
        """How many services the status (bytes, of either kind) says are up."""
        raise NotImplementedError

    def said(self):
        """The last lines the supervisor wrote, for messages."""
        try:
            with open(os.path.join(self.folder, 'output.log'), errors='replace') as f:
                return ''.join(f.readlines()[-5:]).strip()
        except OSError:
            return ''


class Bare(Supervisor):
    """The yardstick: bare_loop starts the services, bare_http answers with the body it is given."""

    rest_s = 0.1
    how = 'bare_loop and bare_http: vfork, exec, waitpid; a libmicrohttpd that answers fixed bytes'

    def __init__(self, *args):
        super().__init__(*args)
        self.http = None
        self.body = None

    @classmethod
    def version(cls, options):
        return '-'

    def argv(self):
        return [self.tools['bare_loop'], str(self.n), self.tools['service'], self.events, *self.options.get('args', ())]

    def consoles(self, name):
        return [os.path.join(self.folder, 'output.log')]  # all services' together: a plain file, opened for appending

    def restart_begin(self):
        os.kill(self.pid, signal.SIGHUP)

    def serve(self, body, content_type):
        """Starts the HTTP server; what it answers is what the other side's status says."""
        self.body = os.path.join(self.folder, 'body')
        with open(self.body, 'wb') as f:
            f.write(body)
        port = free_port()
        if self.http:
            os.kill(self.http[0], signal.SIGKILL)
        server = subprocess.Popen([self.tools['bare_http'], str(port), self.body, content_type],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while True:
            try:
                get(port, '/', 5)
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > end:
                    raise Failed('bare_http did not start') from None
                time.sleep(0.01)
        self.http = (server.pid, port)

    def http_pids(self):
        return [self.http[0]]

    def status_http(self):
        return (self.http[1], '/') if self.http else None

    def status_argv(self):
        return [self.tools['load'], '-p', str(self.http[1]), '/'] if self.http else None

    def count_up(self, output):
        """It knows nothing of services: what it was given must come out again."""
        with open(self.body, 'rb') as f:
            return self.n if output == f.read() else 0


class Monitor(Supervisor):
    """fota_monitor on a home of its own."""

    # More than 5 failures in a row make it wait; 10 s up clear the count.
    burst = 4
    rest_s = 10.5
    starts_again = True
    how = 'defaults, `"auth": "open"`; console logs and the 300 ms probe are on'
    settings = {}

    @classmethod
    def version(cls, options):
        return options.get('version', '?')

    def start_env(self):
        """As fota_monitor.sh starts it."""
        return {**os.environ, 'GLIBC_TUNABLES': 'glibc.malloc.tcache_count=0'}

    def setup(self):
        self.port = free_port()
        self.home = os.path.join(self.folder, 'home')
        os.makedirs(os.path.join(self.home, 'conf'))
        os.makedirs(os.path.join(self.home, 'lua'))
        root = os.path.dirname(self.tools['service'])
        services = {}
        for name in self.names:
            folder = os.path.join(self.home, 'svc', name)
            os.makedirs(folder)
            if self.options.get('logs'):
                open(os.path.join(folder, 'fota_monitor.log'), 'w').close()
            services[name] = {'cmd': ' '.join(self.service(name))[len(root) + 1:], 'dir': folder}
        conf = {'port': self.port, 'bind': ['127.0.0.1'], 'rootpath': root, 'svrs': services, 'auth': 'open',
                'clog': {'mode': 1, 'level': 14}, **self.settings}
        with open(os.path.join(self.home, 'conf', 'conf.json'), 'w') as f:
            json.dump({'dev': conf}, f, indent=1)

    def argv(self):
        return [self.options['bin'], '-home', self.home, '-env', 'dev']

    def consoles(self, name):
        return glob.glob(os.path.join(self.home, 'svc', name, 'fota_monitor*.log'))

    def path(self, command):
        return f'/?command={command}&service=all'

    def wait_ready(self, timeout_s):
        end = time.monotonic() + timeout_s
        while True:
            try:
                up = self.count_up(get(self.port, self.path('status'))[2])
            except OSError:
                up = 0
            if up == self.n:
                return
            if time.monotonic() > end:
                raise Failed(f'{up} of {self.n} services up after {timeout_s} s')
            time.sleep(0.1)

    def restart_begin(self):
        connection = socket.create_connection(('127.0.0.1', self.port), timeout=120)
        connection.sendall(f'GET {self.path("restart")} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n'
                           'Connection: close\r\n\r\n'.encode())
        return connection

    def restart_end(self, handle):
        with handle:
            answer = b''.join(iter(lambda: handle.recv(65536), b''))
        head, _, body = answer.partition(b'\r\n\r\n')
        if b' 200 ' not in head.split(b'\r\n')[0] + b' ' or b'SUCCESS' not in body:
            raise Failed('restart: ' + body.decode(errors='replace').strip()[:300])

    def status_http(self):
        return self.port, self.path('status')

    def status_argv(self):
        return [*self.argv(), '-status', 'all']

    def count_up(self, output):
        return output.count(b'PID:')


class MonitorFast(Monitor):
    """The same with the settings that cost it least."""

    how = 'as above, `"probe": "pidfd"`'
    settings = {'probe': 'pidfd'}
    leave_out = ('http', 'command', 'kill', 'restart', 'log', 'crash', 'size')
