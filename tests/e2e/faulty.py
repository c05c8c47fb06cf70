"""A monitor some of whose system calls fail (faults.c), and places that are hard to live in.

    def test_it(monitor):
        faults = Faults(monitor)
        monitor.start(env=faults.env)
        with faults("clone - ENOMEM"):      # while this block runs; see faults.c
            ...
"""

import atexit
import contextlib
import errno
import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from harness import is_sanitized

RULES_SIZE = 4096
SOURCE = Path(__file__).with_name("faults.c")


@functools.cache
def library():
    """faults.c, built once."""
    if not shutil.which("cc"):
        pytest.skip("needs a compiler")
    folder = tempfile.mkdtemp(prefix="fm-faults-")
    os.chmod(folder, 0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", f"{folder}/faults.so", SOURCE, "-ldl"], check=True)
    return f"{folder}/faults.so"


class Faults:
    def __init__(self, monitor):
        self.file = monitor.home / "faults"
        self.file.write_bytes(bytes(RULES_SIZE))
        self.env = {"LD_PRELOAD": library(), "FM_FAULTS": str(self.file)}
        if is_sanitized():
            self.env["ASAN_OPTIONS"] = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")

    def set(self, *rules):
        """From now on; the names of errors are put in numbers."""
        text = re.sub(r"\bE[A-Z0-9]+\b", lambda m: str(getattr(errno, m[0])), "\n".join(rules))
        with open(self.file, "r+b") as file:
            file.write(text.encode().ljust(RULES_SIZE, b"\0"))

    @contextlib.contextmanager
    def __call__(self, *rules):
        self.set(*rules)
        yield
        self.set()


@contextlib.contextmanager
def small_disk(size="1m", **options):
    """A file system of that size, for root; its folder."""
    folder = Path(tempfile.mkdtemp(prefix="fm-disk-"))
    words = ",".join([f"size={size}", "mode=755", *(f"{key}={value}" for key, value in options.items())])
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", words, "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        folder.rmdir()
        pytest.skip("needs the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def fill(folder):
    """Leaves no byte free; the file to remove for some room."""
    path = folder / "full"
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return path
