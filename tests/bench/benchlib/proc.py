"""What /proc says about the processes of this pid namespace, and the file the services write to."""
import os
import time

TICK_NS = 1000000000 // os.sysconf('SC_CLK_TCK')


def pids():
    return [int(name) for name in os.listdir('/proc') if name.isdigit()]


def exe(pid):
    """The executable's path; None for a zombie, a kernel thread or a process that is gone."""
    try:
        return os.readlink(f'/proc/{pid}/exe')
    except OSError:
        return None


def argument(pid, index):
    """One word of the command line, '' when there is none."""
    try:
        with open(f'/proc/{pid}/cmdline', 'rb') as f:
            return f.read().split(b'\0')[index].decode()
    except (OSError, IndexError):
        return ''


def threads(pid):
    try:
        return [int(t) for t in os.listdir(f'/proc/{pid}/task')]
    except OSError:
        return []


def cpu_ns(of):
    """CPU time so far of these processes, by the scheduler's own count of their threads. Where threads have come and
    gone the coarser count of the whole process, which keeps theirs, is the larger one."""
    total = 0
    for pid in of:
        fine = 0
        try:
            for thread in threads(pid):
                with open(f'/proc/{pid}/task/{thread}/schedstat') as f:
                    fine += int(f.read().split()[0])
            with open(f'/proc/{pid}/stat') as f:
                fields = f.read().rpartition(')')[2].split()
        except OSError:
            continue  # it ended in between
        total += max(fine, (int(fields[11]) + int(fields[12])) * TICK_NS)
    return total


def wakeups(of):
    """How often these processes have gone to sleep of their own accord."""
    total = 0
    for pid in of:
        for thread in threads(pid):
            try:
                with open(f'/proc/{pid}/task/{thread}/status') as f:
                    for line in f:
                        if line.startswith('voluntary_ctxt_switches:'):
                            total += int(line.split()[1])
            except OSError:
                continue
    return total


def memory_kib(of):
    """{'rss', 'pss', 'private'} in KiB, summed over these processes."""
    keys = {'Rss:': 'rss', 'Pss:': 'pss', 'Private_Clean:': 'private', 'Private_Dirty:': 'private'}
    total = {'rss': 0, 'pss': 0, 'private': 0}
    for pid in of:
        with open(f'/proc/{pid}/smaps_rollup') as f:
            for line in f:
                words = line.split()
                if words[0] in keys:
                    total[keys[words[0]]] += int(words[1])
    return total


class Starts:
    """Follows the file to which each service appends "NAME PID REALTIME_NS" as its first act."""

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.rest = b''
        self.of = {}     # name -> [(realtime_ns, pid), ...]
        self.count = 0
        open(path, 'wb').close()

    def poll(self):
        with open(self.path, 'rb') as f:
            f.seek(self.offset)
            data = f.read()
        self.offset += len(data)
        *lines, self.rest = (self.rest + data).split(b'\n')
        for line in lines:
            name, pid, ns = line.decode().split()
            self.of.setdefault(name, []).append((int(ns), int(pid)))
        self.count += len(lines)

    def wait(self, condition, timeout_s, step_s):
        """Looks every step_s until condition() holds; False after timeout_s."""
        end = time.monotonic() + timeout_s
        while True:
            self.poll()
            if condition():
                return True
            if time.monotonic() > end:
                return False
            time.sleep(step_s)
