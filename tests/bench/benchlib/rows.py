"""What is measured, in which order: all take turns, so that neighbours in time see the same machine."""
import contextlib
import os
import time

from . import sizes
from .peers import ADAPTERS
from .session import Session, SessionError

FULL = {'starts': 7, 'kills': 200, 'few_kills': 30, 'restarts': 7, 'slices': 8, 'slice_s': 1.5, 'many_slices': 3,
        'idle_s': 60.0, 'commands': 20, 'floods': 3, 'share_s': 60.0, 'patience_s': 120.0}
QUICK = {'starts': 3, 'kills': 30, 'few_kills': 8, 'restarts': 3, 'slices': 3, 'slice_s': 0.6, 'many_slices': 2,
         'idle_s': 4.0, 'commands': 10, 'floods': 1, 'share_s': 15.0, 'patience_s': 120.0}

SETTLE_S = 2.0
MANY = 8                   # connections of the second, saturating load
FEW = 10                   # with fewer services each must rest so long that there is time for few kills only
FLOOD = (200000000, 2)     # bytes and seconds that one service writes at most
BLOCKS = (64, 4096)        # at a time
MEMORY = '/dev/shm'
YARDSTICK = 'yardstick'    # the side that is the bare loop, whoever the others are


class Field:
    """The bare loop and some supervisors with N services each. samples: adapter -> key -> ([bare ...], [its own ...]),
    where the i-th of both lists were taken in the same turn. facts: adapter -> key -> what is no series of numbers."""

    def __init__(self, script, tools, folders, adapters, n, plan, options, say):
        self.script, self.tools, self.folders = script, tools, folders  # of these the second lies in memory
        self.adapters, self.n, self.plan, self.options, self.say = adapters, n, plan, options, say
        self.samples = {adapter: {} for adapter in adapters}
        self.facts = {adapter: {} for adapter in adapters}
        self.failed = []  # (adapter, text)
        self.sides = {}
        self.opened = 0
        self.done = lambda: None

    def open(self, who, n=None, in_memory=False, **more):
        """A session, configured but not started."""
        adapter = 'bare' if who == YARDSTICK else who
        self.opened += 1
        base = self.folders[1 if in_memory or ADAPTERS[adapter].in_memory else 0]
        folder = os.path.join(base, f'{self.opened:03d}-{adapter}')
        session = Session(self.script, self.tools, adapter, n or self.n, folder, dict(self.options, **more),
                          self.plan['patience_s'])
        try:
            session.call('setup')
        except SessionError:
            session.close()
            raise
        return session

    def fail(self, who, text):
        self.failed.append((who, f'{text}'))
        self.say(f'FAILED {who}: {text}')

    def add(self, adapter, key, bare, other):
        of = self.samples[adapter].setdefault(key, ([], []))
        for values, value in zip(of, (bare, other)):
            if value is not None:
                values.append(value)

    def late(self):
        return time.monotonic() > self.plan.get('until', float('inf'))

    def turns(self, row, count, do, players=None):
        """do(YARDSTICK), then do(adapter) for each, so many times; yields (adapter, bare's result, its own).
        Who fails, or has used up its share of time, gets no more turns."""
        players = players or self.adapters
        used = {adapter: 0.0 for adapter in players if row not in ADAPTERS[adapter].leave_out}
        for _ in range(count):
            if not used or self.late():
                return
            try:
                bare = do(YARDSTICK)
            except SessionError as e:
                self.fail(YARDSTICK, f'{row}: {e}')
                return
            for adapter in list(used):
                if self.late():
                    return
                began = time.monotonic()
                try:
                    other = do(adapter)
                except SessionError as e:
                    self.fail(adapter, f'{row}: {e}')
                    del used[adapter]
                    continue
                used[adapter] += time.monotonic() - began
                if used[adapter] > self.plan['share_s']:
                    del used[adapter]
                yield adapter, bare, other
            self.done()

    def ask_turns(self, row, count, what, players=None, **arguments):
        """The same with one order to each side that is up."""
        up = [adapter for adapter in players or self.adapters if adapter in self.sides]
        return self.turns(row, count, lambda who: self.sides[who].call(what, **arguments), up) if up else ()

    def measure(self, wanted, done):
        """The rows that are wanted; done() after each round of turns, and after each row."""
        self.done = done
        for name, title, row, alone in ROWS:
            if alone and (name in wanted or name == 'start' and 'memory' in wanted) and not self.late():
                self.say(title)
                row(self, wanted)
                done()
        rows = [of for of in ROWS if of[0] in wanted and not of[3]]
        if not any(name != 'memory' for name, *_ in rows) or self.late():
            return
        with contextlib.ExitStack() as stack:
            self.start_field(stack)
            for _, title, row, _ in rows:
                if YARDSTICK not in self.sides:
                    break
                if self.late():
                    self.say(f'left out, the time is up: {title}')
                    continue
                self.say(title)
                row(self)
                done()
            self.census()

    def start_field(self, stack):
        """All of them up at the same time."""
        self.say('all are started')
        for who in (YARDSTICK, *self.adapters):
            try:
                session = stack.enter_context(self.open(who))
                try:
                    session.call('start')
                    self.sides[who] = session
                except SessionError:
                    session.close()
                    raise
            except SessionError as e:
                self.fail(who, f'start: {e}')
        time.sleep(SETTLE_S)

    # Each in sessions of its own, with nobody else there.

    def start(self, wanted):
        """On a new host, and once more where it helps (a log file is there for each service). Memory, too, is told
        while nobody else maps the same libraries."""
        def once(who, logs=False):
            with self.open(who, logs=logs) as session:
                took = session.call('start')
                left_out = who != YARDSTICK and 'memory' in ADAPTERS[who].leave_out
                if not logs and 'memory' in wanted and who not in measured and not left_out:
                    time.sleep(SETTLE_S)
                    measured[who] = session.call('memory')
                return took

        measured = {}
        count = self.plan['starts'] if 'start' in wanted else 1
        for adapter, bare, other in self.turns('start', count, once):
            self.add(adapter, 'start', bare, other)
        for adapter, memory in measured.items():
            if adapter != YARDSTICK:
                for part in ('pss', 'private'):
                    self.add(adapter, f'memory_{part}', measured[YARDSTICK][part] / 1024, memory[part] / 1024)
        again = [adapter for adapter in self.adapters if ADAPTERS[adapter].starts_again]
        if again and 'start' in wanted:
            for adapter, bare, other in self.turns('start', count, lambda who: once(who, logs=True), again):
                self.add(adapter, 'start_again', bare, other)

    def log(self, _):
        """In memory: what is measured is the way to the file, not the disk."""
        for block in BLOCKS:
            def once(who, block=block):
                args = ['-f', str(FLOOD[0]), str(block), str(FLOOD[1])]
                with self.open(who, n=1, in_memory=True, args=args) as session:
                    session.call('start')
                    return session.call('flood')
            for adapter, bare, other in self.turns('log', self.plan['floods'], once):
                for part in ('mb_s', 'cpu_s_gb', 'lost'):
                    self.add(adapter, f'log{block}_{part}', bare[part], other[part])

    def crash(self, _):
        """All at the same time: nothing here is a time. What is told of the bare loop stands for its facts."""
        players = {YARDSTICK: 'bare', **{adapter: adapter for adapter in self.adapters if adapter != 'bare'}}
        players = {who: name for who, name in players.items() if 'crash' not in ADAPTERS[name].leave_out}
        for what, args in (('crash_quiet', []), ('crash_talks', ['-t']), ('crash_all', ['-t'])):
            with contextlib.ExitStack() as stack:
                asked = {}
                for who, name in players.items():
                    try:
                        session = stack.enter_context(self.open(who, n=1, args=args))
                        session.call('start')
                        session.ask('crash', talks=bool(args), helpers=what == 'crash_all')
                        asked[name] = session
                    except SessionError as e:
                        self.fail(name, f'crash: {e}')
                for name, session in asked.items():
                    try:
                        self.facts.setdefault(name, {})[what] = session.answer(60)
                    except SessionError as e:
                        self.fail(name, f'crash: {e}')

    def size(self, _):
        for adapter in self.adapters:
            size = sizes.of(adapter, self.options) if 'size' not in ADAPTERS[adapter].leave_out else None
            if size:
                self.facts[adapter]['size'] = size

    # With all of them up.

    def kill(self):
        count = self.plan['few_kills' if self.n < FEW else 'kills']
        for adapter, bare, other in self.ask_turns('kill', count, 'kill'):
            self.add(adapter, 'kill', bare, other)

    def restart(self):
        for adapter, bare, other in self.ask_turns('restart', self.plan['restarts'], 'restart'):
            self.add(adapter, 'restart', bare['ms'], other['ms'])
            if adapter != 'bare':  # the bare loop answers nothing
                self.add(adapter, 'restart_answer', None, other['answer_ms'])

    def prepare_http(self, adapter):
        """Lets the bare server answer what this one answers. The file with that body, None without HTTP."""
        side = self.sides[adapter]
        side.call('ready')
        body = side.call('body')
        if not body and adapter != 'bare':
            return None
        if not body:  # bare against bare: both answer a text of the usual size
            path = os.path.join(self.folders[0], 'body')
            with open(path, 'w') as f:
                f.writelines(f's{i:04d} PID:{10000 + i}\n' for i in range(self.n))
            body = {'file': path, 'type': 'text/plain', 'up': self.n}
            side.call('serve', body=body['file'], content_type=body['type'])
        if body['up'] != self.n:
            raise SessionError(f'status says {body["up"]} of {self.n} are up')
        self.sides[YARDSTICK].call('serve', body=body['file'], content_type=body['type'])
        return body['file']

    def http(self):
        """One after the other: the bare server has only one body at a time."""
        for adapter in self.adapters:
            if adapter not in self.sides or 'http' in ADAPTERS[adapter].leave_out:
                continue
            try:
                body = self.prepare_http(adapter)
            except SessionError as e:
                self.fail(adapter, f'http: {e}')
                continue
            if not body:
                continue

            def load(who, connections, body=body):
                return self.sides[who].call('load', connections=connections, seconds=self.plan['slice_s'], body=body)
            for _, bare, other in self.turns('http', self.plan['slices'], lambda who: load(who, 2), [adapter]):
                for key in ('rate', 'p99_us', 'cpu_us'):
                    self.add(adapter, 'http_' + key, bare[key], other[key])
            for _, bare, other in self.turns('http', self.plan['many_slices'], lambda who: load(who, MANY), [adapter]):
                self.add(adapter, 'http_many', bare['rate'], other['rate'])

    def command(self):
        """The bare side prints what the last one of those that speak HTTP answers."""
        players = []
        for adapter in self.adapters:
            if adapter not in self.sides or 'command' in ADAPTERS[adapter].leave_out:
                continue
            try:
                self.sides[adapter].call('ready')
                if adapter in ('bare', 'monitor'):
                    self.prepare_http(adapter)
                players.append(adapter)
            except SessionError as e:
                self.fail(adapter, f'command: {e}')
        for adapter, bare, other in self.ask_turns('command', self.plan['commands'], 'status', players):
            self.add(adapter, 'command', bare, other)

    def idle(self):
        asked = []
        for who in (YARDSTICK, *self.adapters):
            if who in self.sides and (who == YARDSTICK or 'idle' not in ADAPTERS[who].leave_out):
                self.sides[who].ask('idle', seconds=self.plan['idle_s'])  # all at once: this is CPU time, not wall time
                asked.append(who)
        answers = {}
        for who in asked:
            try:
                answers[who] = self.sides[who].answer(self.plan['idle_s'] + 30)
            except SessionError as e:
                self.fail(who, f'idle: {e}')
        for who in asked[1:]:
            if who in answers and YARDSTICK in answers:
                for part in ('percent', 'wakeups'):
                    self.add(who, 'idle_' + part, answers[YARDSTICK][part], answers[who][part])

    def memory_after(self):
        """Only where two are there: what more of them map together would be nobody's."""
        if len(self.adapters) > 1:
            return
        for adapter, bare, other in self.ask_turns('memory', 1, 'memory'):
            for part in ('pss', 'private'):
                self.add(adapter, f'memory_after_{part}', bare[part] / 1024, other[part] / 1024)

    def census(self):
        """Numbers are worth nothing when a service was lost or runs twice."""
        for who, side in self.sides.items():
            if any(failed == who for failed, _ in self.failed):
                continue  # it may still be at it
            try:
                seen = side.call('census')
            except SessionError as e:
                self.fail(who, f'at the end: {e}')
                continue
            if seen != {'running': self.n, 'doubled': 0}:
                self.fail(who, f'at the end {seen["running"]} of {self.n} services ran, {seen["doubled"]} of them more '
                               'than once')


# Name for --rows, what is said while it runs, the method, is it measured in sessions of its own?
ROWS = [
    ('size', 'size on disk', Field.size, True),
    ('start', 'start of all, memory', Field.start, True),
    ('log', 'log throughput', Field.log, True),
    ('crash', 'the supervisor killed and started again', Field.crash, True),
    ('kill', 'restart after SIGKILL', Field.kill, False),
    ('http', 'status of all over HTTP', Field.http, False),
    ('command', 'status of all by command', Field.command, False),
    ('idle', 'idle CPU', Field.idle, False),
    ('restart', 'restart of all', Field.restart, False),
    ('memory', 'memory after the run', Field.memory_after, False),
]
