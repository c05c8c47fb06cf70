"""A terminal of our own, for what is shown only to people."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from harness import TIMEOUT

CONTROL = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class Terminal:
    """A program on a terminal of so many columns; `only` names the streams that are the terminal, the others are pipes."""

    def __init__(self, argv, columns=80, only=("stdin", "stdout", "stderr"), env=None):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        outside = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM") and k[:12] != "FOTA_MONITOR"}
        streams = {name: theirs if name in only else subprocess.PIPE for name in ("stdout", "stderr")}
        streams["stdin"] = theirs if "stdin" in only else subprocess.DEVNULL
        self.process = subprocess.Popen([str(word) for word in argv], start_new_session=True, cwd="/",
                                        env={**outside, "TERM": "xterm", **(env or {})}, **streams)
        os.close(theirs)
        self.seen = ""

    def type(self, text):
        os.write(self.ours, text.encode())

    def read_on(self, seconds=0.05):
        """Takes in what comes within that time; False when nothing will come any more."""
        if select.select([self.ours], [], [], seconds)[0]:
            try:
                got = os.read(self.ours, 65536)
            except OSError:  # nobody has the other end any more
                got = b""
            self.seen += got.decode(errors="replace")
            return bool(got)
        return True

    def wait_for(self, text, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        while text not in CONTROL.sub("", self.seen):
            assert time.monotonic() < deadline and self.read_on(), f"no {text!r} in {self.seen!r}"
        return CONTROL.sub("", self.seen)

    def end(self):
        """Waits for the end: exit code, what the terminal showed, the piped streams."""
        while self.read_on(1):
            pass
        out, err = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, self.seen.replace("\r\n", "\n"), (out or b"").decode(), (err or b"").decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self.ours)
