"""What is measured, in which order: the bare side and the other take turns, so that both see the same machine."""
import contextlib
import os
import time

from .session import Session, SessionError

FULL = {'starts': 7, 'kills': 200, 'restarts': 7, 'slices': 8, 'slice_s': 1.5, 'many_slices': 3, 'idle_s': 60.0,
        'commands': 20}
QUICK = {'starts': 3, 'kills': 30, 'restarts': 3, 'slices': 3, 'slice_s': 0.6, 'many_slices': 2, 'idle_s': 4.0,
         'commands': 10}

SETTLE_S = 2.0
MANY = 8  # connections of the second, saturating load


class Pair:
    """One supervisor against the bare loop with N services. samples: key -> ([bare ...], [other ...]), where the i-th
    of both lists were taken one right after the other."""

    def __init__(self, script, tools, folder, adapter, n, plan, options, say):
        self.script, self.tools, self.folder = script, tools, folder
        self.adapter, self.n, self.plan, self.options, self.say = adapter, n, plan, options, say
        self.samples = {}
        self.failed = []
        self.opened = 0

    def open(self, adapter, **more):
        """A session, configured but not started."""
        self.opened += 1
        folder = os.path.join(self.folder, f'{self.opened:03d}-{adapter}-{self.n}')
        session = Session(self.script, self.tools, adapter, self.n, folder, dict(self.options, **more))
        try:
            session.call('setup')
        except SessionError:
            session.close()
            raise
        return session

    def add(self, key, bare, other):
        of = self.samples.setdefault(key, ([], []))
        for values, value in zip(of, (bare, other)):
            if value is not None:
                values.append(value)

    def measure(self, wanted):
        try:
            if 'start' in wanted:
                self.say('start of all')
                self.start('start', logs=False)
                self.start('start_again', logs=True)
            with contextlib.ExitStack() as stack:
                sides = [stack.enter_context(self.open(adapter)) for adapter in ('bare', self.adapter)]
                for side in sides:
                    side.call('start')
                time.sleep(SETTLE_S)
                for name, title, row in ROWS:
                    if name in wanted and row:
                        self.say(title)
                        try:
                            row(self, sides)
                        except SessionError as e:
                            self.failed.append(f'{title}: {e}')
                self.census(sides)
        except SessionError as e:
            self.failed.append(str(e))

    def start(self, row, logs):
        """On a new host (a log file has to be made for each service), or where all of them are there."""
        for _ in range(self.plan['starts']):
            took = []
            for adapter in ('bare', self.adapter):
                with self.open(adapter, logs=logs) as session:
                    took.append(session.call('start'))
            self.add(row, *took)

    def turns(self, sides, count, what, **arguments):
        """One order, to one side after the other, so many times: yields both results."""
        for _ in range(count):
            yield [side.call(what, **arguments) for side in sides]

    def kill(self, sides):
        for bare, other in self.turns(sides, self.plan['kills'], 'kill'):
            self.add('kill', bare, other)

    def restart(self, sides):
        for bare, other in self.turns(sides, self.plan['restarts'], 'restart'):
            self.add('restart', bare['ms'], other['ms'])
            if self.adapter != 'bare':  # the bare loop answers nothing
                self.add('restart_answer', None, other['answer_ms'])

    def prepare_http(self, sides):
        """Lets the bare server answer what the other one answers. The file with that body, None without HTTP."""
        bare, other = sides
        body = other.call('body')
        if not body and self.adapter != 'bare':
            return None
        if not body:  # bare against bare: both answer a text of the usual size
            path = os.path.join(self.folder, 'body')
            with open(path, 'w') as f:
                f.writelines(f's{i:04d} PID:{10000 + i}\n' for i in range(self.n))
            body = {'file': path, 'type': 'text/plain', 'up': self.n}
            other.call('serve', body=body['file'], content_type=body['type'])
        if body['up'] != self.n:
            raise SessionError(f'{self.adapter}: status says {body["up"]} of {self.n} are up')
        bare.call('serve', body=body['file'], content_type=body['type'])
        return body['file']

    def http(self, sides):
        body = self.prepare_http(sides)
        if not body:
            return
        load = {'seconds': self.plan['slice_s'], 'body': body}
        for bare, other in self.turns(sides, self.plan['slices'], 'load', connections=2, **load):
            for key in ('rate', 'p99_us', 'cpu_us'):
                self.add('http_' + key, bare[key], other[key])
        for bare, other in self.turns(sides, self.plan['many_slices'], 'load', connections=MANY, **load):
            self.add('http_many', bare['rate'], other['rate'])

    def command(self, sides):
        self.prepare_http(sides)
        for bare, other in self.turns(sides, self.plan['commands'], 'status'):
            self.add('command', bare, other)

    def memory(self, sides, key='memory'):
        for bare, other in self.turns(sides, 1, 'memory'):
            for part in ('pss', 'private'):
                self.add(f'{key}_{part}', bare[part] / 1024, other[part] / 1024)

    def idle(self, sides):
        for side in sides:  # both at once: this is CPU time, not wall time
            side.ask('idle', seconds=self.plan['idle_s'])
        bare, other = [side.answer(self.plan['idle_s'] + 30) for side in sides]
        for part in ('percent', 'wakeups'):
            self.add('idle_' + part, bare[part], other[part])

    def memory_after(self, sides):
        self.memory(sides, 'memory_after')

    def census(self, sides):
        """Numbers are worth nothing when a service was lost or runs twice."""
        for side in sides:
            seen = side.call('census')
            if seen != {'running': self.n, 'doubled': 0}:
                self.failed.append(f'{side.what}: at the end {seen["running"]} of {self.n} services ran, '
                                   f'{seen["doubled"]} of them more than once')


# Name for --rows, what is said while it runs, the method (start has sessions of its own).
ROWS = [
    ('start', 'start of all', None),
    ('memory', 'memory', Pair.memory),
    ('kill', 'restart after SIGKILL', Pair.kill),
    ('restart', 'restart of all', Pair.restart),
    ('http', 'status of all over HTTP', Pair.http),
    ('command', 'status of all by command', Pair.command),
    ('idle', 'idle CPU', Pair.idle),
    ('memory', 'memory after the run', Pair.memory_after),
]
