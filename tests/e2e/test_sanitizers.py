"""What a sanitizer finds in the monitor or in a command fails the test it happens in: the checks of the checks."""

import subprocess

import pytest
from harness import Monitor, is_sanitized

pytestmark = pytest.mark.skipif(not is_sanitized(), reason="not built with the address sanitizer")

# Often: that an old pointer is left somewhere on the stack, so that the memory looks used, does not happen to all.
LEAK = """
#include <stdlib.h>
#include <string.h>
__attribute__((constructor)) static void leak(void)
{
    for (int i = 0; i < 100; i++)
        memset(malloc(4321), 1, 4321);
}
"""


@pytest.fixture(name="leaking")
def fixture_leaking(monitor, tmp_path):
    """The environment of a program that loses memory as it starts."""
    (tmp_path / "leak.c").write_text(LEAK)
    subprocess.run(["cc", "-O0", "-shared", "-fPIC", "-o", tmp_path / "leak.so", tmp_path / "leak.c"], check=True)
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    return {"LD_PRELOAD": str(tmp_path / "leak.so"), "ASAN_OPTIONS": "verify_asan_link_order=0"}


def test_memory_that_the_monitor_lost_is_found_at_its_end(leaking):
    broken = Monitor()
    try:
        broken.conf()
        broken.start(env=leaking)
        broken.process.terminate()
        assert broken.exit_code() != 0
        assert "LeakSanitizer: detected memory leaks" in broken.stderr()
    finally:
        with pytest.raises(AssertionError, match="LeakSanitizer"):
            broken.end()


def test_memory_that_a_command_lost_is_found(monitor, leaking):
    monitor.start()
    assert monitor.cli("-status", "all", env=leaking).returncode != 0
    assert len(monitor.problems) == 1 and "LeakSanitizer" in monitor.problems[0]
    monitor.problems.clear()
