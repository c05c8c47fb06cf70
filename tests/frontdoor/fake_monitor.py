"""Stands for the fota_monitor binary where the script's own behaviour is tested: a monitor that can be made slow, deaf,
stubborn or broken at will, which the real one, one hopes, can not. What it shares with the real one: the options, the
lock file with pid and address, the exit codes.

FAKE_MONITOR in the environment says how the daemon misbehaves: "die CODE", "slow SECONDS", "deaf", "stubborn".
"""

import fcntl
import os
import signal
import socket
import sys
import time

STATUS = "\n*****STATUS OK SERVICE LIST*****\ndemo PID:1\n\n*****STATUS FAIL SERVICE LIST*****\n\n"


def options(words):
    taken = {}
    while words:
        taken[words[0].lstrip("-")] = words[1]
        words = words[2:]
    return taken


def lock_path(given):
    rundir = os.environ.get("FOTA_MONITOR_RUNDIR") or os.path.join(given["home"], "run")
    os.makedirs(rundir, mode=0o700, exist_ok=True)
    return os.path.join(rundir, given["env"] + ".lock")


def status(given):
    try:
        with open(lock_path(given), encoding="utf-8") as lock:
            host, port = lock.read().split("\n")[1].rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=2) as answer:
            sys.stdout.write(answer.recv(4096).decode())
    except (OSError, IndexError, ValueError):
        print("Error: [fota_monitor maybe down!]")
        return 4
    return 0


def listen(deaf):
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    if not deaf:
        server.listen(16)
    return server


def serve(given):
    how, _, amount = os.environ.get("FAKE_MONITOR", "").partition(" ")
    print("fake monitor", given["env"], "in", os.getcwd(), flush=True)
    if how == "die":
        for number in range(30):
            print("last words", number, flush=True)
        return int(amount)
    lock = os.open(lock_path(given), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if how == "slow":
        time.sleep(float(amount))
    if how == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = listen(how == "deaf")
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n127.0.0.1:{server.getsockname()[1]}\n".encode())
    if how == "deaf":
        signal.pause()
    while True:
        with server.accept()[0] as client:
            client.sendall(STATUS.encode())


if __name__ == "__main__":
    asked = options(sys.argv[1:])
    sys.exit(status(asked) if "status" in asked else serve(asked))
