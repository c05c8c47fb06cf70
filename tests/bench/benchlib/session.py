"""One supervisor at work in a pid namespace of its own.

Session is the handle the measuring process holds; serve() is what runs inside the namespace, under nsinit, and does
one thing after the other as it is told by a line of JSON on its standard input. When that input ends, it ends, and the
kernel takes everything else in the namespace with it."""
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time

from . import proc
from .adapters import Failed
from .peers import ADAPTERS

DOWN_S = 2    # so long a killed supervisor stays away
AGAIN_S = 6   # and so long the next one has for whatever it does about what it finds


class SessionError(Exception):
    """A measurement did not work out; the text says what happened to whom."""


class Session:
    def __init__(self, script, tools, adapter, n, folder, options, patience_s):
        os.makedirs(folder)
        os.chmod(folder, 0o755)
        self.patience_s = patience_s
        self.what = f'{adapter}, N={n}'
        order = json.dumps({'adapter': adapter, 'n': n, 'folder': folder, 'tools': tools, 'options': options,
                            'patience': patience_s})
        self.errors = open(os.path.join(folder, 'session.log'), 'w+')
        self.process = subprocess.Popen(
            ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child', tools['nsinit'], sys.executable, script,
             '--session', order], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            start_new_session=True)

    def ask(self, what, **arguments):
        """Begins; answer() waits. Two sessions may be asked at once."""
        try:
            self.process.stdin.write(json.dumps({'do': what, **arguments}) + '\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            raise SessionError(f'{self.what}: {what}: the session has ended: {self.last_words()}') from None
        self.doing = what

    def answer(self, timeout_s):
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        line = self.process.stdout.readline() if ready else ''
        if not line:
            why = f'no answer for {timeout_s} s' if not ready else f'the session has ended: {self.last_words()}'
            self.close()
            raise SessionError(f'{self.what}: {self.doing}: {why}')
        answer = json.loads(line)
        if 'failed' in answer:
            raise SessionError(f'{self.what}: {self.doing}: {answer["failed"]}')
        return answer['result']

    def call(self, what, timeout_s=None, **arguments):
        self.ask(what, **arguments)
        return self.answer(timeout_s or 3 * self.patience_s + 30)

    def last_words(self):
        self.errors.seek(0)
        return self.errors.read().strip()[-1000:] or 'without a word'

    def close(self):
        """Ends everything in the namespace and returns when it is gone."""
        if self.process.poll() is None:
            try:
                self.process.stdin.close()
            except OSError:
                pass
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()  # --kill-child: the init, and with it the namespace
                self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Worker:
    """The measurements, inside the namespace. Each public method is one order; its result goes back as JSON."""

    def __init__(self, order):
        self.sup = ADAPTERS[order['adapter']](order['folder'], order['n'], order['tools'], order['options'])
        self.tools = order['tools']
        self.patience_s = order['patience']
        self.starts = proc.Starts(self.sup.events)
        self.random = random.Random(order['n'])
        self.victims = []
        self.kills = {}  # name -> how often it was killed

    def setup(self):
        self.sup.setup()
        os.sync()  # the writing of the set-up is not to fall into the measurement

    def start(self):
        """ms from the launch to the last service's first act."""
        began = self.sup.start()
        if not self.starts.wait(lambda: len(self.starts.of) >= self.sup.n or self.sup.ended(),
                                self.patience_s, 0.01):
            raise Failed(f'{len(self.starts.of)} of {self.sup.n} services started in {self.patience_s:.0f} s')
        if len(self.starts.of) < self.sup.n:
            raise Failed(f'it ended at start: {self.sup.said()}')
        last = max(of[0][0] for of in self.starts.of.values())
        self.sup.wait_ready(self.patience_s)
        return (last - began) / 1e6

    def ready(self):
        """Waits until the supervisor says that all are up."""
        self.sup.wait_ready(self.patience_s)

    def kill(self):
        """SIGKILL to one service: ms until the first act of the next one."""
        if not self.victims:
            self.victims = self.sup.names[:]
            self.random.shuffle(self.victims)
        name = self.victims.pop()
        self.starts.poll()
        ns, pid = self.starts.of[name][-1]
        kills = self.kills.get(name, 0)
        rest_s = self.sup.rest_s if kills and kills % self.sup.burst == 0 else self.sup.settle_s
        time.sleep(max(0.0, rest_s - (time.time_ns() - ns) / 1e9))
        time.sleep(self.random.random() if self.sup.polling else 0.03 + 0.03 * self.random.random())
        before = len(self.starts.of[name])
        self.kills[name] = kills + 1
        began = time.time_ns()
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)  # no look at the file while the restart is on its way
        if not self.starts.wait(lambda: len(self.starts.of[name]) > before, 30, 0.002):
            raise Failed(f'{name} was not started again within 30 s')
        return (self.starts.of[name][before][0] - began) / 1e6

    def restart(self):
        """Restart of all: {'ms': until the last new first act, 'answer_ms': until the supervisor says it is done}."""
        self.starts.poll()
        before = {name: len(of) for name, of in self.starts.of.items()}
        total = self.starts.count + self.sup.n
        answered = {}
        began = time.time_ns()
        handle = self.sup.restart_begin()

        def wait():
            try:
                self.sup.restart_end(handle)
            except (Failed, OSError) as e:
                answered['failed'] = e
            answered['ns'] = time.time_ns()

        waiter = threading.Thread(target=wait, daemon=True)
        waiter.start()
        again = self.starts.wait(lambda: self.starts.count >= total and all(
            len(self.starts.of[name]) > count for name, count in before.items()), self.patience_s, 0.01)
        waiter.join(self.patience_s)
        if not again or 'ns' not in answered:
            what = 'the command did not come back' if again else 'not all services were started again'
            raise Failed(f'{what} within {self.patience_s:.0f} s')
        if 'failed' in answered:
            raise answered['failed']
        last = max(self.starts.of[name][count][0] for name, count in before.items())
        self.sup.wait_ready(self.patience_s)
        return {'ms': (last - began) / 1e6, 'answer_ms': (answered['ns'] - began) / 1e6}

    def body(self):
        """What status answers over HTTP now, kept in a file: {'file', 'type', 'up'}, or None where there is no HTTP."""
        if not self.sup.status_http():
            return None
        from .adapters import get
        posted = self.sup.status_posted()
        status, content_type, body = get(*self.sup.status_http(), posted=posted)
        if status != 200:
            raise Failed(f'status over HTTP: {status}')
        path = os.path.join(self.sup.folder, 'status')
        with open(path, 'wb') as f:
            f.write(body)
        if posted:
            with open(path + '.posted', 'wb') as f:
                f.write(posted)
        return {'file': path, 'type': content_type, 'up': self.sup.count_up(body)}

    def serve(self, body, content_type):
        with open(body, 'rb') as f:
            self.sup.serve(f.read(), content_type)

    def load(self, seconds, connections, body):
        """Load on status over HTTP: what load prints, and the server's CPU time for an answer, 'cpu_us'."""
        port, path = self.sup.status_http()
        cpus = sorted(os.sched_getaffinity(0))
        argv = [self.tools['load'], '-c', str(connections), '-s', str(seconds)]
        argv += ['-e', body] if self.sup.exact else []
        argv += ['-x', body + '.posted'] if self.sup.status_posted() else []
        argv += [str(port), path]
        server = self.sup.http_pids() if hasattr(self.sup, 'http_pids') else self.sup.pids()
        if len(cpus) > 1:  # server and client each on a core of their own
            argv[1:1] = ['-a', str(cpus[1])]
            self.pin(server, cpus[:1])
        before = proc.cpu_ns(server)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60)
        cpu_ns = proc.cpu_ns(server) - before
        self.pin(server, cpus)
        if done.returncode != 0:
            raise Failed(f'status over HTTP under load: {(done.stderr or done.stdout).strip()}')
        result = json.loads(done.stdout)
        result['cpu_us'] = cpu_ns / 1e3 / result['requests']
        result['rate'] = result['requests'] / result['seconds']
        return result

    @staticmethod
    def pin(pids, cpus):
        for pid in pids:
            for thread in proc.threads(pid):
                os.sched_setaffinity(thread, cpus)

    def memory(self):
        return proc.memory_kib(self.sup.pids())

    def idle(self, seconds):
        pids = self.sup.pids()
        cpu, slept, began = proc.cpu_ns(pids), proc.wakeups(pids), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        return {'percent': (proc.cpu_ns(pids) - cpu) / 1e7 / took, 'wakeups': (proc.wakeups(pids) - slept) / took}

    def status(self):
        """Wall ms of the command line's status of all; None where there is no such command."""
        argv = self.sup.status_argv()
        if not argv:
            return None
        path = os.path.join(self.sup.folder, 'status.out')
        actions = [(os.POSIX_SPAWN_OPEN, 0, '/dev/null', os.O_RDONLY, 0),
                   (os.POSIX_SPAWN_OPEN, 1, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)]
        began = time.perf_counter_ns()
        _, status = os.waitpid(os.posix_spawn(argv[0], argv, self.sup.env(), file_actions=actions), 0)
        took = (time.perf_counter_ns() - began) / 1e6
        with open(path, 'rb') as f:
            up = self.sup.count_up(f.read())
        if status != 0 or up != self.sup.n:
            raise Failed(f'status command: exit {os.waitstatus_to_exitcode(status)}, {up} of {self.sup.n} up')
        return took

    def stored(self, name):
        """Bytes of what the service wrote that are in its log."""
        return sum(os.path.getsize(path) for path in self.sup.consoles(name))

    def flood(self):
        """The one service writes as fast as it can: MB/s at the service, the supervisor's CPU seconds a GB until all is
        stored, and how many bytes are not."""
        name = self.sup.names[0]
        self.starts.poll()
        pids = self.sup.pids()
        before, had = proc.cpu_ns(pids), self.stored(name)
        os.kill(self.starts.of[name][-1][1], signal.SIGUSR1)
        end = time.monotonic() + self.patience_s
        report = self.sup.events + '.flood'
        while not os.path.exists(report) or not os.path.getsize(report):
            if time.monotonic() > end:
                raise Failed(f'the service did not get rid of its lines in {self.patience_s:.0f} s')
            time.sleep(0.02)
        with open(report) as f:
            written, ns, error = map(int, f.read().split())
        if error:
            raise Failed(f'the service could not write: {os.strerror(error)}')
        stored, quiet_since = self.stored(name) - had, time.monotonic()
        while stored < written and time.monotonic() < quiet_since + 3:
            time.sleep(0.05)
            now = self.stored(name) - had
            if now != stored:
                stored, quiet_since = now, time.monotonic()
        return {'mb_s': written / ns * 1e3, 'cpu_s_gb': (proc.cpu_ns(pids) - before) / written,
                'lost': written - stored}

    def running(self):
        """The processes of the one service."""
        return sorted(p for p in proc.pids() if proc.exe(p) == self.tools['service'])

    def crash(self, talks, helpers):
        """SIGKILL to the supervisor, alone or with its helpers, and the same command again: what became of the service,
        and of its lines."""
        name = self.sup.names[0]
        self.starts.poll()
        old = self.starts.of[name][-1][1]
        time.sleep(self.sup.settle_s)
        for pid in self.sup.pids() if helpers else [self.sup.pid]:
            os.kill(pid, signal.SIGKILL)
        time.sleep(DOWN_S)
        self.sup.ended()
        alone = self.running()
        self.sup.start()
        time.sleep(AGAIN_S)
        after = self.running()
        result = {'down': 'alive' if old in alone else 'dead',
                  'after': ('kept' if after == [old] else 'DOUBLED' if old in after else
                            'started anew' if after else 'not started')}
        if talks:
            result['lines'] = self.lines_of(name, old)
        return result

    def lines_of(self, name, pid):
        """(lines that this process of the service wrote, how many of them are in no log)."""
        with open(f'{self.sup.events}.{name}.{pid}') as f:
            written = int(f.read())
        time.sleep(1)  # what is in a pipe gets through
        seen = set()
        for path in self.sup.consoles(name):
            with open(path, 'rb') as f:
                for line in f:
                    words = line.split()[-3:]
                    if len(words) == 3 and words[:2] == [name.encode(), b'%d' % pid] and words[2].isdigit():
                        seen.add(int(words[2]))
        return written, written - sum(1 for number in seen if number <= written)

    def census(self):
        """How many services run, and how many run twice."""
        seen = {}
        for pid in proc.pids():
            if proc.exe(pid) == self.tools['service']:
                name = proc.argument(pid, 1)
                seen[name] = seen.get(name, 0) + 1
        return {'running': len(seen), 'doubled': sum(1 for count in seen.values() if count > 1)}


def serve(order):
    """Obeys the orders on standard input until it ends."""
    with open('/proc/1/comm') as f:
        if f.read().strip() != 'nsinit':
            sys.exit('--session is for the harness itself')
    worker = Worker(json.loads(order))
    for line in sys.stdin:
        arguments = json.loads(line)
        try:
            answer = {'result': getattr(worker, arguments.pop('do'))(**arguments)}
        except (Failed, OSError, subprocess.SubprocessError) as e:
            answer = {'failed': f'{e}'}
        print(json.dumps(answer), flush=True)
