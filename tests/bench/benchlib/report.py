"""From samples to the table."""
import statistics


def percentile(values, p):
    """The value that p percent lie at or below (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * p // 100) - 1)]


def number(value):
    """Three significant digits, never an exponent."""
    if value == 0:
        return '0'
    size = abs(value)
    for limit, digits in ((100, 0), (10, 1), (1, 2), (0.1, 3)):
        if size >= limit:
            return f'{value:.{digits}f}'
    return f'{value:.4f}'


def spread(values):
    """The range; of more than 10 values what is left without the lowest and the highest tenth."""
    if len(values) < 2:
        return ''
    low, high = (percentile(values, 10), percentile(values, 90)) if len(values) > 10 else (min(values), max(values))
    return f' [{number(low)}..{number(high)}]'


def at_most(limit):
    return lambda ratio, value, n: (f'<= {limit}', ratio <= limit)


def at_least(limit):
    return lambda ratio, value, n: (f'>= {limit}', ratio >= limit)


def value_below(limit, unit):
    return lambda ratio, value, n: (f'< {limit} {unit}', value < limit) if n <= 1000 else None


# key of the samples, title, unit, percentile shown (None: the median, with its spread), has it a ratio, goal.
LINES = [
    ('kill', 'restart after SIGKILL, median', 'ms', None, True, at_most(1.2)),
    ('kill', 'restart after SIGKILL, p99', 'ms', 99, True, None),
    ('start', 'start of all, first time', 'ms', None, True, at_most(1.4)),
    ('start_again', 'start of all, logs are there', 'ms', None, True, at_most(1.4)),
    ('restart', 'restart of all, last start', 'ms', None, True, None),
    ('restart_answer', 'restart of all, answered', 'ms', None, False, None),
    ('http_rate', 'status all, HTTP', 'req/s', None, True, at_least(0.8)),
    ('http_p99_us', 'status all, HTTP, p99', 'us', None, True, None),
    ('http_cpu_us', 'status all, HTTP, server CPU', 'us/req', None, True, None),
    ('http_many', 'status all, HTTP, 8 connections', 'req/s', None, True, None),
    ('command', 'status all, command line', 'ms', None, True, None),
    ('memory_pss', 'memory, PSS', 'MiB', None, True, value_below(5, 'MB')),
    ('memory_private', 'memory, private', 'MiB', None, False, None),
    ('memory_after_pss', 'memory after the run, PSS', 'MiB', None, True, value_below(5, 'MB')),
    ('idle_percent', 'idle CPU', '% of a core', None, False, value_below(0.3, '%')),
    ('idle_wakeups', 'idle wakeups', '1/s', None, False, None),
]


def ratio_of(bare, other, p):
    """(ratio, text): pair by pair where there are pairs; of the two percentiles where p is given."""
    if p is not None:
        ratio = percentile(other, p) / percentile(bare, p)
        return ratio, number(ratio)
    ratios = [b / a for a, b in zip(bare, other) if a > 0]
    if not ratios:
        return None, ''
    return statistics.median(ratios), number(statistics.median(ratios)) + spread(ratios)


def lines(samples, n):
    """One dict a line of the table: title, unit, bare, other, ratio, goal as text, and the numbers behind."""
    made = []
    for key, title, unit, p, with_ratio, goal in LINES:
        bare, other = samples.get(key, ([], []))
        if not other:
            continue
        value = statistics.median(other) if p is None else percentile(other, p)
        line = {'key': key if p is None else f'{key}_p{p}', 'title': title, 'unit': unit, 'value': value,
                'n': n, 'text': {'bare': '', 'other': '', 'ratio': '', 'goal': ''}}
        for side, values in (('bare', bare), ('other', other)):
            if values:
                line['text'][side] = (number(percentile(values, p)) if p is not None
                                      else number(statistics.median(values)) + spread(values))
        if with_ratio and bare:
            line['ratio'], line['text']['ratio'] = ratio_of(bare, other, p)
        judged = goal and goal(line.get('ratio'), value, n)
        if judged:
            line['goal'], line['reached'] = judged
            line['text']['goal'] = f'{judged[0]} {"reached" if judged[1] else "MISSED"}'
        made.append(line)
    return made


def table(adapter, n, made):
    rows = [(f'N = {n}', '', 'bare', adapter, 'ratio', 'goal')]
    rows += [(line['title'], line['unit'], *line['text'].values()) for line in made]
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    text = []
    for i, row in enumerate(rows):
        text.append('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if i == 0:
            text.append('-' * (sum(widths) + 10))
    return '\n'.join(text)
