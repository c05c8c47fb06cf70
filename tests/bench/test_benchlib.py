"""The arithmetic of the benchmarks: nothing else would notice it to be wrong. What they measure no test judges."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from benchlib import board, report, rows, sizes  # noqa: E402  pylint: disable=wrong-import-position
from benchlib.peers import ADAPTERS  # noqa: E402  pylint: disable=wrong-import-position
from benchlib.session import SessionError  # noqa: E402  pylint: disable=wrong-import-position


def part(n, samples, failed=(), when="2026-01-01 10:00", facts=None, busy=False):
    return {"when": when, "busy": busy,
            "machine": {"cpu": "a cpu", "cores": 2, "memory_gib": 4, "kernel": "6.1", "monitor": "fota_monitor 0.1.0"},
            "versions": {"bare": "-", "monitor": "0.1.0", "runit": "2.1.2"},
            "results": [{"n": n, "rows": ["kill"], "samples": samples, "facts": facts or {}, "failed": list(failed)}]}


def line_of(text, heading, name):
    """The cells of one line of the table under a heading."""
    table = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    line = next(line for line in table.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


@pytest.mark.parametrize("p, expected", [(1, 1), (50, 5), (90, 9), (99, 10), (100, 10)])
def test_a_percentile_is_the_nearest_rank(p, expected):
    assert report.percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], p) == expected


def test_a_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians():
    assert report.ratio_of([1, 10, 100], [2, 10, 400], None)[0] == 2
    assert report.ratio_of([1, 2, 4], [3, 6, 8], 99)[0] == 2
    assert report.ratio_of([0, 0], [1, 2], None) == (None, "")


def test_the_best_that_supervises_is_bold_also_when_it_is_not_ours():
    text = board.markdown([part(100, {"monitor": {"kill": [[1, 1, 1], [2, 2, 2]]},
                                      "runit": {"kill": [[1, 1, 1], [1.5, 1.5, 6]]}})])
    assert line_of(text, "Restart after SIGKILL", "bare") == ["1.00 / 1.00"]
    assert line_of(text, "Restart after SIGKILL", "**fota_monitor**") == ["2.00 / 2.00 (2.00)"]
    assert line_of(text, "Restart after SIGKILL", "runit") == ["**1.50** / 6.00 (1.50)"]


def test_what_was_measured_again_is_shown_as_measured_last_with_its_own_ratio():
    text = board.markdown([part(1, {"monitor": {"kill": [[1], [4]]}, "runit": {"kill": [[1], [5]]}}),
                           part(1, {"monitor": {"kill": [[2], [4]]}}, when="2026-01-02 10:00")])
    assert line_of(text, "Restart after SIGKILL", "**fota_monitor**") == ["**4.00** / 4.00 (2.00)"]
    assert line_of(text, "Restart after SIGKILL", "runit") == ["5.00 / 5.00 (5.00)"]
    assert "| 2 | 2026-01-02 10:00 |" in text


def test_a_busy_machine_has_no_say_where_a_quiet_one_was_measured():
    text = board.markdown([part(1, {"monitor": {"kill": [[1], [2]]}}),
                           part(1, {"monitor": {"kill": [[1], [9]], "restart": [[1], [5]]}}, when="2027", busy=True)])
    assert line_of(text, "Restart after SIGKILL", "**fota_monitor**") == ["**2.00** / 2.00 (2.00)"]
    assert line_of(text, "Restart of all", "**fota_monitor**") == ["**5.00** (5.00) †"]


def test_what_failed_says_so_until_it_was_measured():
    bad = part(1, {"monitor": {"kill": [[1], [2]]}, "runit": {}}, [("runit", "kill: it sulks")])
    good = part(1, {"runit": {"kill": [[1], [3]]}})
    text = board.markdown([bad, part(10, {"runit": {"kill": [[1], [3]]}})])
    assert line_of(text, "Restart after SIGKILL", "runit") == ["FAILED", "**3.00** / 3.00 (3.00)"]
    assert "| runit | 1 | kill: it sulks |" in text
    assert "sulks" not in board.markdown([bad, good])


def test_memory_of_an_added_service_is_the_slope_between_the_counts():
    def of(n, mib):
        return part(n, {"monitor": {"memory_pss": [[0.5], [mib]], "memory_private": [[0.5], [mib]]}})
    text = board.markdown([of(1, 1.0), of(1025, 3.0)])
    assert "**2.00**" in text.split("For each service more, between N = 1 and 1025")[1]


class Sides:
    """Sessions that answer from a script: a number or an error a turn."""

    def __init__(self, **turns):
        self.turns = {who: list(values) for who, values in turns.items()}

    def do(self, who):
        value = self.turns[who].pop(0)
        if isinstance(value, Exception):
            raise value
        return value


def field(adapters, **plan):
    return rows.Field("", {}, ("", ""), adapters, 1, {"share_s": 60, **plan}, {}, lambda what: None)


def test_who_fails_has_no_more_turns_and_the_others_go_on():
    of = field(["monitor", "runit"])
    sides = Sides(yardstick=[1, 2, 3], monitor=[10, 20, 30], runit=[11, SessionError("gone"), 33])
    assert list(of.turns("kill", 3, sides.do)) == [("monitor", 1, 10), ("runit", 1, 11), ("monitor", 2, 20),
                                                   ("monitor", 3, 30)]
    assert of.failed == [("runit", "kill: gone")]


def test_who_has_used_up_its_share_has_no_more_turns():
    of = field(["monitor"], share_s=-1)
    assert list(of.turns("kill", 3, Sides(yardstick=[1, 2], monitor=[10, 20]).do)) == [("monitor", 1, 10)]


def test_no_turn_begins_after_the_limit():
    assert not list(field(["monitor"], until=0).turns("kill", 3, Sides(yardstick=[1], monitor=[2]).do))


def test_dependencies_are_followed_through_alternatives_and_virtual_packages():
    packages = {name: {"size": 1, "essential": False, "needs": sizes.wishes(needs)} for name, needs in
                {"a": "nowhere | b (>= 1), virtual", "b": "c:any", "c": "a", "d": "", "other": "d"}.items()}
    assert sizes.closure(["a"], packages, {"virtual": "d"}) == {"a", "b", "c", "d"}


def test_every_row_left_out_is_a_row():
    known = {name for name, *_ in rows.ROWS}
    for name, adapter in ADAPTERS.items():
        assert set(adapter.leave_out) <= known, name


def test_parts_of_different_versions_are_named_so():
    later = part(1, {"monitor": {"kill": [[1, 1, 1], [2, 2, 2]]}}, when="2026-01-02 10:00")
    later["versions"]["monitor"] = "0.2.0"
    text = board.markdown([part(1, {"monitor": {"kill": [[1, 1, 1], [2, 2, 2]]}}), later, later])
    assert line_of(text, "Versions and settings", "**fota_monitor**")[0] == "0.1.0; 0.2.0"
