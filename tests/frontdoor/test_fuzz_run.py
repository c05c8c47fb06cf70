"""tests/fuzz/run where there is no clang: it says what is missing."""

import os
import shutil
import subprocess
from pathlib import Path

RUN = Path(__file__).resolve().parents[1] / "fuzz" / "run"


def without_clang(tmp_path, *words):
    for name in ("bash", "readlink", "dirname", "mktemp", "rm"):
        os.symlink(shutil.which(name), tmp_path / name)
    return subprocess.run(["/bin/bash", RUN, *words], env={"PATH": str(tmp_path), "FM_FUZZ_BUILD": str(tmp_path / "build")},
                          capture_output=True, text=True, timeout=30, check=False)


def test_without_clang_it_says_what_to_install(tmp_path):
    for number, words in enumerate((["conf", "1"], ["--replay", "conf"], ["--merge", "conf"])):
        place = tmp_path / str(number)
        place.mkdir()
        done = without_clang(place, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "the fuzz targets need clang and its runtime: apt-get install clang libclang-rt-dev\n"


def test_every_target_has_a_corpus():
    targets = {path.name.removesuffix("_fuzz.c") for path in RUN.parent.glob("*_fuzz.c")}
    assert targets == {path.name for path in (RUN.parent / "corpus").iterdir()}
    assert all(any(path.iterdir()) for path in (RUN.parent / "corpus").iterdir())
