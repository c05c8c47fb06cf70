"""Numbers of processes are given again: nobody is signalled who only has the number of one that is gone."""

import os
import subprocess
from pathlib import Path

import pytest

SECONDS = 6


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/proc/sys/kernel/ns_last_pid"),
                    reason="needs root, and a kernel that lets numbers be chosen")
def test_no_stranger_is_ever_signalled():
    script = Path(__file__).with_name("pid_reuse.py")
    done = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c",
                           f"/usr/bin/python3 -B {script} {SECONDS}; exit $?"], capture_output=True, text=True,
                          timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-6000:]
