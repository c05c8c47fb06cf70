"""Ways to hold a process in the kernel so that not even SIGKILL ends it, until it is let go.

    def test_one_that_hangs(monitor, trap):          # fixture of conftest.py: runs once for each way
        monitor.script("stuck/stuck", trap.body)     what the service is to do
        ...
        trap.hold(pid)                               from now on it does not end
        trap.let_go()                                now it does
"""

import contextlib
import ctypes
import os
import struct
import tempfile
import threading
from pathlib import Path

from harness import kill, stat, wait_until

FREEZER = Path("/sys/fs/cgroup/freezer")
LIBC = ctypes.CDLL(None, use_errno=True)
MS_NOSUID, MS_NODEV = 2, 4
MNT_FORCE, MNT_DETACH = 1, 2
FUSE_INIT = 26
FUSE_REQUEST_SIZE = 1 << 17


class DeafDisk:
    """A FUSE file system of this process that never answers: as with one of a server that is gone, who asks for a file waits
    in state D. A request that was not read yet would be taken back by SIGKILL. When this process ends, the kernel lets go."""

    lasts = False  # it finds no file any more

    def __init__(self, folder):
        self.folder = folder
        self.body = f"exec cat {folder}/file"
        self.asked = threading.Event()
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0".encode()
        if LIBC.mount(b"deaf", os.fsencode(folder), b"fuse", MS_NOSUID | MS_NODEV, options):
            os.close(self.fd)
            raise OSError(ctypes.get_errno(), "mount")
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    @staticmethod
    def why_not():
        return "" if os.geteuid() == 0 and os.access("/dev/fuse", os.W_OK) else "needs root and /dev/fuse"

    def _read(self):
        with contextlib.suppress(OSError):  # ENODEV: it is over
            while True:
                request = os.read(self.fd, FUSE_REQUEST_SIZE)
                _, opcode, number = struct.unpack_from("IIQ", request)
                if opcode == FUSE_INIT:
                    version = struct.pack("IIIIHHIIHH32x", 7, 31, 0, 0, 1, 1, 4096, 1, 0, 0)
                    os.write(self.fd, struct.pack("IiQ", 16 + len(version), 0, number) + version)
                else:
                    self.asked.set()

    def hold(self, pid):
        """It waits, until SIGTERM in state S."""
        wait_until(self.asked.is_set, what=f"{pid} asks for its file")

    def let_go(self):
        LIBC.umount2(os.fsencode(self.folder), MNT_FORCE | MNT_DETACH)  # what waits gets an error

    def end(self):
        self.let_go()
        self.reader.join()
        os.close(self.fd)


def wait_started_again(monitor, name, old, trap):
    """Once it was let go: there is another process, and but one."""
    ended = monitor.wait_event(service=name, kind="exit", pid=old)
    started = wait_until(lambda: [e["pid"] for e in monitor.events(service=name, kind="starting")
                                  if e["seq"] > ended["seq"]], what=f"{name} is started again")
    assert old not in started and len(monitor.processes(name)) <= 1
    if trap.lasts:
        assert wait_until(lambda: monitor.processes(name)) == [monitor.wait_state(name)["pid"]]


class Frozen:
    """A frozen group of processes, where SIGKILL waits for the thaw (cgroup v1)."""

    body = "exec sleep 1000"
    lasts = True  # what is started after it was let go

    def __init__(self, folder):
        self.group = Path(tempfile.mkdtemp(prefix=f"{folder.parent.name}-", dir=FREEZER))  # one host may run it twice

    @staticmethod
    def why_not():
        return "" if os.access(FREEZER, os.W_OK) else "needs the freezer of cgroup v1"

    def _set(self, state):
        (self.group / "freezer.state").write_text(state)
        wait_until(lambda: (self.group / "freezer.state").read_text().strip() == state)

    def hold(self, pid):
        (self.group / "cgroup.procs").write_text(str(pid))
        self._set("FROZEN")
        assert stat(pid).state == "D"

    def let_go(self):
        self._set("THAWED")

    def end(self):
        self.let_go()

        def is_empty():
            left = (self.group / "cgroup.procs").read_text().split()
            for pid in left:
                kill(int(pid))
            return not left
        wait_until(is_empty)
        self.group.rmdir()
