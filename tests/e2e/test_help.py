"""-h, -help NAME, the manual page: all of it from the same tables; and what is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import BINARY, free_port, is_sanitized

TOP = Path(__file__).resolve().parents[2]
CACHE = BINARY.parent / "CMakeCache.txt"
SCRIPT = """
fm.command { name = "drain", help = "take services out", args = { grace = "seconds (5)" }, run = function(req) end }
"""


def run(*words, **popen):
    return subprocess.run([BINARY, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
                          check=False, **popen)


def well(*words):
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, ""), words
    return done.stdout


def options():
    """Every option and core command, as completion knows them."""
    return {line.split("\t")[0] for line in well("-complete", "-home", "/nonexistent", "-").splitlines()[1:]}


def test_help_is_short_and_grouped():
    lines = well("-h").splitlines()
    assert len(lines) < 60 and max(map(len, lines)) <= 105
    heads = [line.split(" (")[0] for line in lines if re.match(r"[A-Z][a-zA-Z ]+( \(|$)", line)]
    assert heads == ["Run", "Control services", "Look", "The monitor itself", "Scripts", "Connection", "Answer", "About"]
    shown = {line.split()[0] for line in lines if line.startswith("  -")}
    assert shown == options() and {"-env", "-restart", "-status", "-reload", "-test", "-host", "-format"} <= shown
    for code in range(6):
        assert re.search(rf"\b{code} [a-z]", "\n".join(lines[-3:]))


def test_help_has_the_commands_of_running_scripts(monitor):
    (monitor.home / "lua").mkdir()
    (monitor.home / "lua" / "a.lua").write_text(SCRIPT, encoding="utf-8")
    monitor.conf(port=free_port())
    at = ("-home", monitor.home, "-env", "test")
    plain = well("-h")
    assert well(*at, "-h") == plain, "nobody runs: not a word about it"
    assert run(*at, "-help", "drain").returncode == 2
    monitor.start()
    assert well(*at, "-h") == plain + "\nCommands of the running monitor's scripts\n  -drain                    take services out\n"
    assert well("-h", *at) == well(*at, "-h")
    assert well(*at, "-help", "drain") == "-drain      take services out\n             grace=seconds (5)\n"
    assert well("-host", monitor.address, "-drain", "-h").startswith("-drain ")


def test_help_waits_for_nobody(monitor):
    """A monitor that hangs costs a moment."""
    monitor.conf()
    monitor.start()
    monitor.process.send_signal(19)
    try:
        assert run("-home", monitor.home, "-env", "test", "-h", ).stdout == well("-h")
    finally:
        monitor.process.send_signal(18)


def test_help_for_one(monitor):
    assert well("-help", "reload") == (
        "-reload [key=value ...]\n  apply changed scripts and conf.json (dry-run=1: only show what would change)\n"
        "    dry-run=...             1: only show what would change\n")
    assert well("-h", "status") == well("-status", "-h") == well("-help=status") == (
        "-status [SERVICES]\n  which services are up, and which are not\n")
    for name in options():
        text = well("-help", name.lstrip("-"))
        assert text.startswith(name) and len(text.splitlines()) > 1 and max(map(len, text.splitlines())) <= 110
    done = run("-home", monitor.home, "-help", "relaod")
    assert (done.returncode, done.stdout, done.stderr) == (
        2, "", 'Error: "relaod" is no option and no command that is known\nDid you mean reload?\n')
    assert run("-home", monitor.home, "-help", "qqqqqq").stderr.endswith("\nfota_monitor -h lists them.\n")


# ---- the manual page


@pytest.mark.skipif(not shutil.which("groff"), reason="there is no groff")
def test_the_manual_page_is_sound_and_complete():
    source = well("-man")
    done = subprocess.run(["groff", "-ww", "-man", "-Tascii", "-rLL=100n", "-P-c"], input=source, capture_output=True,
                          text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    text = re.sub(r".\x08", "", done.stdout)
    for name in options():
        assert re.search(rf"^ +{name}\b", text, re.M), name
    for part in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"):
        assert re.search(f"^{part}$", text, re.M)
    words = " ".join(text.split())
    assert "'PATH=VALUE;...'" in words and "dry-run= 1: only show what would change" in words
    version = well("-version").strip()
    assert version in text


@pytest.mark.skipif(not shutil.which("mandoc"), reason="there is no mandoc")
def test_the_manual_page_for_mandoc():
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "error"], input=well("-man"), capture_output=True, text=True,
                          timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "")


# ---- what is installed


def names(text):
    return {line.split()[-1].lstrip(".") for line in text.splitlines() if not line.split()[-1].endswith("/")}


EXPECTED = {
    "/bin/fota_monitor", "/bin/fota_monitor.sh", "/share/man/man1/fota_monitor.1",
    "/share/bash-completion/completions/fota_monitor", "/lib/systemd/system/fota_monitor@.service",
    "/share/doc/fota_monitor/README.md", "/share/doc/fota_monitor/conf/conf.json", "/share/doc/fota_monitor/lua/policies.lua",
    "/share/doc/fota_monitor/lua/README.md",
}


@pytest.mark.skipif(not CACHE.exists(), reason="not in a build folder")
@pytest.mark.parametrize("prefix,zsh", [("/usr/local", "site-functions"), ("/usr", "vendor-completions")])
def test_install(tmp_path, prefix, zsh):
    subprocess.run(["cmake", "--install", BINARY.parent, "--prefix", prefix], check=True, timeout=60, capture_output=True,
                   env={"PATH": "/usr/bin:/bin", "DESTDIR": str(tmp_path)})
    found = {str(path.relative_to(tmp_path))[len(prefix) - 1:] for path in tmp_path.rglob("*") if path.is_file()}
    assert EXPECTED | {f"/share/zsh/{zsh}/_fota_monitor"} <= found
    assert not [path for path in found if "/lua/fm/" in path], "the library is in the binary"
    unit = (tmp_path / prefix[1:] / "lib/systemd/system/fota_monitor@.service").read_text(encoding="utf-8")
    assert f"\nExecStart={prefix}/bin/fota_monitor -env %i\n" in unit
    page = (tmp_path / prefix[1:] / "share/man/man1/fota_monitor.1").read_text(encoding="utf-8")
    assert page == well("-man")


@pytest.mark.skipif(not CACHE.exists() or not all(map(shutil.which, ("cpack", "dpkg-shlibdeps", "dpkg-deb"))),
                    reason="dpkg-dev is missing")
@pytest.mark.skipif(is_sanitized(), reason="once is enough")
def test_the_debian_package(tmp_path):
    subprocess.run(["cpack", "--config", BINARY.parent / "CPackConfig.cmake", "-G", "DEB", "-B", tmp_path], check=True,
                   timeout=80, capture_output=True, cwd=tmp_path)
    package, = tmp_path.glob("*.deb")

    def ask(*words):
        return subprocess.run(["dpkg-deb", *words], check=True, capture_output=True, text=True, timeout=30).stdout
    found = names(ask("-c", package))
    assert {f"/usr{path}" for path in EXPECTED} | {"/usr/share/zsh/vendor-completions/_fota_monitor"} <= found
    assert ask("-f", package, "Package", "Version") == f"Package: fota-monitor\nVersion: {well('-version').split()[1]}\n"
    depends = ask("-f", package, "Depends")
    for library in ("libmicrohttpd12", "liblua5.4-0", "libuv1", "lua-cjson", "libc6"):
        assert library in depends
