"""Fixtures of the end-to-end tests; see harness.py."""

import signal

import pytest
from harness import Monitor
from unkillable import DeafDisk, Frozen

SECONDS = 90  # for one test; a test that hangs must not hold up the rest


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: it bounds how long something takes by the clock, to less than a second: "
                                       "ctest runs it beside nothing else, in e2e/alone")


@pytest.fixture(name="make_monitor")
def fixture_make_monitor(request):
    made = []

    def make(env="test"):
        made.append(Monitor(env))
        return made[-1]

    request.node.monitors = made
    yield make
    errors = []
    for one in made:
        try:
            one.end()
        except AssertionError as error:
            errors.append(str(error))
    assert not errors, "\n".join(errors)


@pytest.fixture(name="monitor")
def fixture_monitor(make_monitor):
    return make_monitor()


@pytest.fixture(name="trap", params=[DeafDisk, Frozen], ids=["deaf disk", "frozen"])
def fixture_trap(request, tmp_path):
    """To be asked for behind the monitor: what it holds is let go before the monitor's end."""
    if request.param.why_not():
        pytest.skip(request.param.why_not())
    folder = tmp_path / "trap"
    folder.mkdir()
    trap = request.param(folder)
    yield trap
    trap.end()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call():
    def give_up(_signum, _frame):
        raise AssertionError(f"the test has not ended within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What the monitor said stands in the report of a test that failed."""
    report = (yield).get_result()
    if call.when == "call" and report.failed:
        for one in getattr(item, "monitors", []):
            report.sections.append((f"the monitor of {one.home}", one.stderr()[-4000:]))
