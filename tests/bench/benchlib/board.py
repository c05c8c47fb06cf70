"""From all parts that were measured to the tables of RESULTS.md."""
import statistics

from . import report
from .peers import ADAPTERS


class Board:
    """parts: as `run --json` keeps them. What was measured more than once is shown as measured last, and rather as
    it was on a quiet machine."""

    def __init__(self, parts):
        self.parts = parts = sorted(parts, key=lambda part: (not part['busy'], part['when']))
        self.cells = {}   # (adapter, n, key) -> (bare's samples, its own)
        self.facts = {}   # adapter -> key -> fact
        self.failed = {}  # (adapter, n, row) -> text
        self.when = {}    # (adapter, n, key) -> index of the part
        for index, part in enumerate(parts):
            for result in part['results']:
                self.take(index, result)
        self.counts = sorted({n for _, n, key in self.cells if not key.startswith('log')})

    def take(self, index, result):
        n = result['n']
        for adapter, samples in result['samples'].items():
            for key, pair in samples.items():
                self.cells[adapter, n, key] = pair
                self.when[adapter, n, key] = index
                self.failed.pop((adapter, n, key.split('_')[0]), None)
                if pair[0] and (adapter == 'monitor' or ('bare', n, key) not in self.cells):
                    self.cells['bare', n, key] = (pair[0], pair[0])
                    self.when['bare', n, key] = index
        for adapter, facts in result['facts'].items():
            self.facts.setdefault(adapter, {}).update(facts)
        for adapter, text in result['failed']:
            self.failed[adapter, n, text.split(':')[0]] = text

    def log_n(self):
        """The log row's own number of services is kept under the first count it was measured with."""
        return next((n for _, n, key in self.cells if key.startswith('log')), None)

    def names(self, keys, counts):
        return [name for name in ADAPTERS if any((name, n, key) in self.cells for n in counts for key in keys)]

    def value(self, adapter, n, key, p=None):
        """(value, ratio to bare or None), or None."""
        bare, other = self.cells.get((adapter, n, key), ([], []))
        if not other:
            return None
        value = statistics.median(other) if p is None else report.percentile(other, p)
        ratio = None
        if adapter != 'bare' and bare and min(bare) > 0:
            ratio = report.ratio_of(bare, other, p)[0]
        return value, ratio

    def why_not(self, adapter, n, key):
        text = next((text for (who, count, row), text in self.failed.items()
                     if who == adapter and count == n and row in (key.split('_')[0], 'start')), None)
        return 'FAILED' if text else '-'


def title(name):
    return {'monitor': '**fota_monitor**'}.get(name, name)


def rows_of(header, lines):
    """A table in Markdown."""
    return '\n'.join(['| ' + ' | '.join(header) + ' |', '|' + '---|' * len(header)] +
                     ['| ' + ' | '.join(line) + ' |' for line in lines]) + '\n'


def cells(board, key, n, names, best, unit_p=None, ratio=True):
    """name -> text of its cell; the best of those that supervise in bold. unit_p: the key of the p99, or 99."""
    values = {name: board.value(name, n, key) for name in names}
    there = [value[0] for name, value in values.items() if value and name != 'bare']
    texts = {}
    for name in names:
        if not values[name]:
            texts[name] = board.why_not(name, n, key)
            continue
        value, of_bare = values[name]
        text = report.number(value)
        if name != 'bare' and value == best(there):
            text = f'**{text}**'
        if unit_p:
            tail = board.value(name, n, key, 99) if unit_p == 99 else board.value(name, n, unit_p)
            text += f' / {report.number(tail[0] / (1000 if unit_p != 99 else 1))}'
        if ratio and of_bare:
            text += f' ({report.number(of_bare)})'
        text += ' †' if board.parts[board.when[name, n, key]]['busy'] else ''
        texts[name] = text
    return texts


def section(board, head, text, columns, counts=None):
    """columns: (title, key, best, p99, ratio); each for every count."""
    counts = counts or board.counts
    keys = [column[1] for column in columns]
    names = board.names(keys, counts)
    if not names:
        return ''
    made = []
    for n in counts:
        for name_of, key, best, p99, ratio in columns:
            if any((name, n, key) in board.cells for name in names):
                made.append((f'{name_of}N = {n}', cells(board, key, n, names, best, p99, ratio)))
    lines = [[title(name), *(texts[name] for _, texts in made)] for name in names]
    return f'## {head}\n{text}\n\n' + rows_of(['', *(name for name, _ in made)], lines)


def memory(board):
    text = section(board, 'Memory', 'PSS in MiB of the supervisor with all its helpers, 2 s after the start, alone on '
                   'the machine with its services; private pages are what would come back at its end.',
                   [('PSS, ', 'memory_pss', min, None, False), ('private, ', 'memory_private', min, None, False)])
    if len(board.counts) < 2 or not text:
        return text
    low, high = board.counts[0], board.counts[-1]
    added = {}
    for name in board.names(['memory_pss'], board.counts):
        pair = [board.value(name, n, 'memory_pss') for n in (low, high)]
        if all(pair):
            added[name] = (pair[1][0] - pair[0][0]) * 1024 / (high - low)
    if not added:
        return text
    best = min(value for name, value in added.items() if name != 'bare')
    lines = [[title(name), f'**{report.number(value)}**' if value == best else report.number(value)]
             for name, value in added.items()]
    return text + f'\nFor each service more, between N = {low} and {high}:\n\n' + rows_of(['', 'KiB'], lines)


def logs(board):
    n = board.log_n()
    if n is None:
        return ''
    columns = []
    for block in (64, 4096):
        names = board.names([f'log{block}_mb_s'], [n])
        columns += [(f'MB/s, {block} B a write', cells(board, f'log{block}_mb_s', n, names, max)),
                    ('CPU s/GB', cells(board, f'log{block}_cpu_s_gb', n, names, min, ratio=False)),
                    ('bytes lost', cells(board, f'log{block}_lost', n, names, min, ratio=False))]
    lines = [[title(name), *(texts.get(name, '-').replace('**0**', '0') for _, texts in columns)]
             for name in columns[0][1]]
    return ('## Log throughput\nOne service writes 64-byte lines as fast as it can, for 200 MB or 2 s, to where the '
            'supervisor puts its output, on tmpfs. In parentheses the ratio to a plain file opened for appending.\n\n' +
            rows_of(['', *(name for name, _ in columns)], lines))


def sizes(board):
    names = [name for name in ADAPTERS if 'size' in board.facts.get(name, {})]
    if not names:
        return ''
    of = {name: board.facts[name]['size'] for name in names}
    best = min(size['mib'] for size in of.values())
    lines = [[title(name), report.number(size['own_mib']),
              f'**{report.number(size["mib"])}**' if size['mib'] == best else report.number(size['mib']),
              f'{size["packages"]}'] for name, size in of.items()]
    return ('## Size on disk\nMiB, by Debian\'s count of installed packages: its own files, and with all that they '
            'depend on beyond what every Debian has.\n\n' +
            rows_of(['', 'own', 'with dependencies', 'packages'], lines))


def crashes(board):
    names = [name for name in ADAPTERS if 'crash_quiet' in board.facts.get(name, {})]
    if not names:
        return ''
    lines = []
    for name in names:
        line = [title(name)]
        for key in ('crash_quiet', 'crash_talks', 'crash_all'):
            fact = board.facts[name].get(key)
            text = f'{fact["down"]}, then {fact["after"]}' if fact else 'FAILED'
            if fact and fact.get('lines', (0, 0))[1] > 0:
                text += f'; {fact["lines"][1]} of {fact["lines"][0]} lines lost'
            line.append(text)
        lines.append(line)
    return ('## The supervisor is killed\nSIGKILL to the supervisor, 2 s later the same command again. A service that '
            'is *kept* is the same process; *DOUBLED* runs twice from then on. One of them writes a line every 20 ms '
            'to stdout; lost are lines it wrote that are in no log.\n\n' +
            rows_of(['', 'a quiet service', 'one that writes', 'the same, all helpers killed too'], lines))


def measured(result):
    """The rows of which there are samples or facts, and of whom."""
    rows, names = {}, {}
    for name, of in [*result['samples'].items(), *result['facts'].items()]:
        for key in of:
            rows['log' if key.startswith('log') else key.split('_')[0]] = names[name] = None
    rest = set(ADAPTERS) - set(names) - {'bare'}
    return ', '.join(rows) + (f' of {", ".join(names)}' if len(rest) > 1 else '')


def head(board):
    lines, versions = [], {}
    for index, part in enumerate(board.parts):
        about = part['machine']
        what = '; '.join(f'N = {result["n"]}: {measured(result)}' for result in part['results'])
        lines.append([f'{index + 1}', part['when'], about.get('monitor', '-').replace('fota_monitor ', ''), what,
                      'busy with other work' if part['busy'] else 'quiet'])
        for name, version in part['versions'].items():
            versions.setdefault(name, {})[version] = None  # in their order, each once
    about = board.parts[-1]['machine']
    text = ('# Supervisors side by side\n\nWritten by `tests/bench/run --report --markdown`; [README.md](README.md) '
            f'tells how it is measured.\n\nMachine: {about["cpu"]}, {about["cores"]} cores, {about["memory_gib"]} GiB, '
            f'Linux {about["kernel"]}.\n\n')
    if len(board.parts) > 1:
        text += ('Measured in parts, at different times; what was measured more than once is shown as measured last, '
                 'on a quiet machine if it was (†: it did other work at that time). ')
    text += ('In each part the bare loop took turns with everybody else, so ratios compare neighbours in time. Cells '
             'are medians; in parentheses the ratio to bare. The best that supervises is bold.\n\n')
    text += rows_of(['part', 'when', 'fota_monitor', 'what', 'the machine'], lines)
    text += '\n## Versions and settings\n\n' + rows_of(
        ['', 'version', 'how it ran'],
        [[title(name), '; '.join(versions[name]), ADAPTERS[name].how] for name in ADAPTERS if name in versions])
    return text


def markdown(parts):
    board = Board(parts)
    sections = [
        head(board),
        section(board, 'Restart after SIGKILL', 'ms from the kill to the next one\'s first act: median / p99 (ratio of '
                'medians). With few kills the p99 is the slowest.', [('', 'kill', min, 99, True)]),
        section(board, 'Start of all', 'ms from the launch to the last service\'s first act. *Again*: on files of '
                'before (only fota_monitor has less to do then).',
                [('', 'start', min, None, True), ('again, ', 'start_again', min, None, True)]),
        section(board, 'Restart of all', 'ms from its own command to the last new first act, and until the command has '
                'returned. monit and daemontools return at once; fota_monitor when all are up, '
                'which is 300 ms after the last start.',
                [('', 'restart', min, None, True), ('returned, ', 'restart_answer', min, None, False)]),
        section(board, 'Status of all, command line', 'ms. bare: a static program that asks a bare HTTP server.',
                [('', 'command', min, None, True)]),
        section(board, 'Status of all, HTTP or XML-RPC', 'Requests/s with 2 connections / p99 in ms (ratio to a bare '
                'libmicrohttpd that answers the same bytes); answers/s with 8 connections; CPU time of the server in '
                'us for an answer.',
                [('', 'http_rate', max, 'http_p99_us', True), ('8 connections, ', 'http_many', max, None, True),
                 ('CPU us, ', 'http_cpu_us', min, None, False)]),
        memory(board),
        section(board, 'Idle', 'CPU in % of a core, and wake-ups a second, of the supervisor with all its helpers.',
                [('CPU, ', 'idle_percent', min, None, False), ('wake-ups, ', 'idle_wakeups', min, None, False)]),
        logs(board), sizes(board), crashes(board),
    ]
    failed = [[title(name), f'{n}', text] for (name, n, _), text in board.failed.items()]
    if failed:
        sections.append('## What failed\n\n' + rows_of(['', 'N', 'what'], failed))
    return '\n'.join(text for text in sections if text)
