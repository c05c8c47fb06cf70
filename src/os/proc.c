#include "proc.h"

#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define SIGNAL_TO_GROUP 4U /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */

#define CHILD_STACK (64 * 1024)

/* PIDFD_GET_INFO (Linux 6.15 tells the exit status, also of processes that are no
 * children of ours); linux/pidfd.h of Debian 12 does not know it yet. */
struct pidfd_info_v1 {
    uint64_t mask;
    uint64_t cgroupid;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define PIDFD_GET_INFO_V1 _IOWR(0xFF, 11, struct pidfd_info_v1)
#define PIDFD_INFO_EXIT_BIT (1ULL << 3)

/* Code that runs in the child, in our memory and on a stack the address sanitizer knows nothing of. */
#define IN_CHILD __attribute__((no_sanitize("address")))

/* Set once by proc_init: the limit services get back, the two descriptors every child takes its stdio from, and the one
 * it keeps until the exec. */
static struct rlimit given_nofile;
static struct {
    int null_fd, log_fd, kept_fd;
} slots = {-1, -1, -1};

/* The signals that are not at their default here. */
static struct {
    int list[NSIG];
    int n;
} unusual;

/* What the child tells the parent: it runs in the parent's memory. */
struct child_arg {
    const struct proc_spec *spec;
    struct proc_fault fault;
};

void proc_note_signals(void)
{
    struct sigaction sa;
    unusual.n = 0;
    for (int sig = 1; sig < NSIG; sig++)
        if (!sigaction(sig, NULL, &sa) && (sa.sa_handler != SIG_DFL || sig == SIGCHLD))
            unusual.list[unusual.n++] = sig;
}

int proc_init(void)
{
    proc_note_signals();
    if (slots.null_fd >= 0)
        return 0;
    /* When we were started with stdio closed, what we open must not end up there: others rely on these numbers. */
    int null_fd;
    do
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (null_fd >= 0 && null_fd <= STDERR_FILENO);
    int log_fd = null_fd < 0 ? -1 : fcntl(null_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int kept_fd = log_fd < 0 ? -1 : fcntl(null_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (kept_fd < 0)
        return -errno;
    slots.null_fd = null_fd;
    slots.log_fd = log_fd;
    slots.kept_fd = kept_fd;
    if (getrlimit(RLIMIT_NOFILE, &given_nofile))
        return -errno;
    struct rlimit mine = {given_nofile.rlim_max, given_nofile.rlim_max};
    setrlimit(RLIMIT_NOFILE, &mine); /* without it there are fewer descriptors, which each start reports */
    return 0;
}

int proc_keep(int fd)
{
    return dup3(fd, slots.kept_fd, O_CLOEXEC) < 0 ? -errno : 0;
}

void proc_set_given_nofile(rlim_t soft)
{
    given_nofile.rlim_cur = MIN(soft, given_nofile.rlim_max);
}

const struct rlimit *proc_given_nofile(void)
{
    return given_nofile.rlim_max ? &given_nofile : NULL;
}

IN_CHILD static bool child_fail(struct child_arg *a, enum proc_stage stage)
{
    a->fault = (struct proc_fault){.stage = stage, .error = errno, .limit = a->fault.limit};
    return false;
}

/* Handlers of ours must not run in the child, and an ignored signal would stay
 * ignored after the exec. SIGHUP is ignored on purpose: services run as with nohup. */
IN_CHILD static void child_signals(void)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};
    for (int i = 0; i < unusual.n; i++)
        sigaction(unusual.list[i], &sa, NULL);
    sa.sa_handler = SIG_IGN;
    sigaction(SIGHUP, &sa, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

IN_CHILD static bool child_limits(struct child_arg *a)
{
    const struct proc_spec *s = a->spec;
    if (given_nofile.rlim_cur != given_nofile.rlim_max && setrlimit(RLIMIT_NOFILE, &given_nofile))
        return child_fail(a, PROC_STAGE_LIMIT);
    for (size_t i = 0; i < s->nlimits; i++) {
        struct rlimit r;
        a->fault.limit = (int)i;
        if (getrlimit((unsigned)s->limits[i].resource, &r))
            return child_fail(a, PROC_STAGE_LIMIT);
        if (s->limits[i].soft)
            r.rlim_cur = s->limits[i].value;
        if (s->limits[i].hard)
            r.rlim_max = s->limits[i].value;
        if (r.rlim_cur > r.rlim_max) {
            errno = EINVAL;
            return child_fail(a, PROC_STAGE_LIMIT);
        }
        if (setrlimit((unsigned)s->limits[i].resource, &r))
            return child_fail(a, PROC_STAGE_LIMIT);
    }
    return true;
}

/* Another user, not root, gets none of our rights. The kernel takes them from who leaves root, but not from who was
 * never root (a monitor with ambient capabilities), nor under every securebits. Then it is tried whether there is a way
 * back. */
IN_CHILD static bool child_harmless(struct child_arg *a)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) && errno != EINVAL)
        return child_fail(a, PROC_STAGE_UID);
    if (syscall(SYS_capset, &head, none))
        return child_fail(a, PROC_STAGE_UID);
    if (syscall(SYS_setresuid, -1, 0, -1) && (a->spec->gid == 0 || syscall(SYS_setresgid, -1, 0, -1)))
        return true;
    errno = EPERM; /* there was a way back */
    return child_fail(a, PROC_STAGE_UID);
}

/* Groups before gid before uid: after the uid is gone nothing else may be changed. */
IN_CHILD static bool child_ids(struct child_arg *a)
{
    const struct proc_spec *s = a->spec;
    bool same = s->uid == geteuid();
    if (!s->set_ids)
        return true;
    /* The raw calls: glibc's wrappers would try to change every thread of the parent, whose memory this is. */
    if (syscall(SYS_setgroups, s->ngroups, s->groups))
        return child_fail(a, PROC_STAGE_GROUPS);
    if (syscall(SYS_setresgid, s->gid, s->gid, s->gid))
        return child_fail(a, PROC_STAGE_GID);
    if (syscall(SYS_setresuid, s->uid, s->uid, s->uid))
        return child_fail(a, PROC_STAGE_UID);
    return same || s->uid == 0 || child_harmless(a);
}

/* The child starts out sharing our descriptor table (CLONE_FILES): copying a table that holds a pidfd for each of
 * thousands of services would make every start cost as much as all services together. Unsharing copies only what lies
 * below the range that is closed at the same time, and that is why the slots are kept at low numbers. */
IN_CHILD static bool child_files(struct child_arg *a)
{
    unsigned top = (unsigned)MAX(MAX(slots.null_fd, slots.log_fd), slots.kept_fd);
    if (syscall(SYS_close_range, top + 1, ~0U, CLOSE_RANGE_UNSHARE) && unshare(CLONE_FILES))
        return child_fail(a, PROC_STAGE_LOG);
    if (dup2(slots.null_fd, STDIN_FILENO) < 0)
        return child_fail(a, PROC_STAGE_STDIN);
    if (dup2(slots.log_fd, STDOUT_FILENO) < 0 || dup2(slots.log_fd, STDERR_FILENO) < 0)
        return child_fail(a, PROC_STAGE_LOG);
    /* What is ours is CLOEXEC anyway; this is for what we were started with. */
    for (int fd = STDERR_FILENO + 1; fd <= (int)top; fd++)
        if (fd != slots.kept_fd)
            close(fd);
    return true;
}

/* Runs in the parent's memory between clone and exec: only async-signal-safe calls, nothing the parent would miss. */
IN_CHILD static int child_main(void *arg)
{
    struct child_arg *a = arg;
    const struct proc_spec *s = a->spec;
    if (!child_files(a))
        return 127;
    if (setsid() < 0) {
        child_fail(a, PROC_STAGE_SETSID);
        return 127;
    }
    if (!child_limits(a) || !child_ids(a))
        return 127;
    if (s->umask >= 0)
        umask((mode_t)s->umask);
    if (chdir(s->dir)) {
        child_fail(a, PROC_STAGE_DIR);
        return 127;
    }
    child_signals();
    execve(s->exe, s->argv, s->envp);
    child_fail(a, PROC_STAGE_EXEC);
    return 127;
}

int proc_spawn(const struct proc_spec *spec, struct proc *out, struct proc_fault *fault)
{
    static char stack[CHILD_STACK] __attribute__((aligned(64)));
    *out = (struct proc){.pidfd = -1};
    *fault = (struct proc_fault){0};
    if (dup3(spec->log_fd, slots.log_fd, O_CLOEXEC) < 0) {
        *fault = (struct proc_fault){.stage = PROC_STAGE_LOG, .error = errno};
        return -fault->error;
    }
    struct child_arg arg = {.spec = spec};
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int pidfd = -1;
    pid_t pid = clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD | SIGCHLD,
                      &arg, &pidfd);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    dup3(slots.null_fd, slots.log_fd, O_CLOEXEC); /* the log must not stay open here: it may be removed meanwhile */
    if (pid < 0) {
        *fault = (struct proc_fault){.stage = PROC_STAGE_FORK, .error = error};
        return -error;
    }
    if (arg.fault.error) {
        *fault = arg.fault;
        siginfo_t info;
        while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 && errno == EINTR)
            ;
        close(pidfd);
        return -fault->error;
    }
    *out = (struct proc){.pid = pid, .pidfd = pidfd, .child = true, .leader = true};
    return 0;
}

int proc_adopt(pid_t pid, uint64_t start_ticks, struct proc *out)
{
    *out = (struct proc){.pidfd = -1};
    int fd = (int)syscall(SYS_pidfd_open, pid, 0U);
    if (fd < 0)
        return errno == EINVAL ? -ESRCH : -errno; /* EINVAL: a thread, no process */
    /* The start time is read after the pidfd was taken: if it is the right one now, the pidfd is of the right one. */
    struct procfs_stat st;
    errno = 0;
    bool ok = procfs_stat(pid, &st);
    int error = !ok && procfs_is_passing(errno) ? errno : ESRCH;
    if (!ok || st.start_ticks != start_ticks || st.state == 'Z' || st.state == 'X') {
        close(fd);
        return -error;
    }
    *out = (struct proc){
        .pid = pid, .pidfd = fd, .start_ticks = start_ticks, .child = st.ppid == getpid(), .leader = st.pgrp == pid};
    return 0;
}

int proc_signal(const struct proc *p, int sig, enum proc_scope scope)
{
    if (p->pidfd < 0)
        return -ESRCH;
    /* A child's number stays its own until we collect it, and probing by number costs a third. */
    if (sig == 0 && p->child && scope == PROC_ONE)
        return kill(p->pid, 0) ? -errno : 0;
    bool group = scope == PROC_GROUP && p->leader;
    if (!syscall(SYS_pidfd_send_signal, p->pidfd, sig, NULL, group ? SIGNAL_TO_GROUP : 0U))
        return 0;
    if (errno != EINVAL || !group)
        return -errno;
    /* An older kernel: the group's number is its own while the leader is there (alive or not yet collected). */
    if (syscall(SYS_pidfd_send_signal, p->pidfd, 0, NULL, 0U))
        return -errno;
    return kill(-p->pid, sig) ? -errno : 0;
}

bool proc_has_ended(const struct proc *p)
{
    struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};
    return p->pidfd >= 0 && poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLIN | POLLHUP));
}

void proc_have_ended(const struct proc *const *procs, size_t n, bool *out)
{
    struct pollfd fds[PROC_MANY];
    for (size_t i = 0; i < n; i++) /* -1: poll passes it over */
        fds[i] = (struct pollfd){.fd = procs[i]->pid ? procs[i]->pidfd : -1, .events = POLLIN};
    bool told = poll(fds, n, 0) > 0;
    for (size_t i = 0; i < n; i++)
        out[i] = told && (fds[i].revents & (POLLIN | POLLHUP));
}

static void set_status(struct proc_exit *out, int status)
{
    out->known = true;
    out->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    out->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    out->core = WIFSIGNALED(status) && WCOREDUMP(status);
}

static int64_t ms_of(const struct timeval *tv)
{
    return (int64_t)tv->tv_sec * 1000 + tv->tv_usec / 1000;
}

/* The raw call: glibc's waitid leaves out the resource usage. */
static bool wait_child(const struct proc *p, int options, siginfo_t *info, struct rusage *ru)
{
    *info = (siginfo_t){0};
    long r;
    do
        r = syscall(SYS_waitid, P_PIDFD, p->pidfd, info, WEXITED | WNOHANG | options, ru);
    while (r < 0 && errno == EINTR);
    return r == 0 && info->si_pid != 0;
}

static void ask_child(const struct proc *p, struct proc_exit *out)
{
    siginfo_t info;
    struct rusage ru = {0};
    if (!wait_child(p, WNOWAIT, &info, &ru))
        return;
    out->known = true;
    out->code = info.si_code == CLD_EXITED ? info.si_status : -1;
    out->signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    out->core = info.si_code == CLD_DUMPED;
    out->cpu_ms = ms_of(&ru.ru_utime) + ms_of(&ru.ru_stime);
    out->max_rss_kib = ru.ru_maxrss;
}

/* No child of ours: its zombie, while its parent has not collected it, still shows the status in /proc; after that the
 * pidfd does, where the kernel keeps it. */
static void ask_status(const struct proc *p, struct proc_exit *out)
{
    struct procfs_stat st;
    if (procfs_stat(p->pid, &st) && st.start_ticks == p->start_ticks && st.state == 'Z' && st.exit_status_known) {
        set_status(out, st.exit_status);
        out->cpu_ms = st.cpu_ms;
        return;
    }
    struct pidfd_info_v1 info = {.mask = PIDFD_INFO_EXIT_BIT};
    if (!ioctl(p->pidfd, PIDFD_GET_INFO_V1, &info) && (info.mask & PIDFD_INFO_EXIT_BIT))
        set_status(out, info.exit_code);
}

bool proc_reap(struct proc *p, bool kill_group, struct proc_exit *out)
{
    if (!proc_has_ended(p))
        return false;
    *out = (struct proc_exit){.code = -1, .cpu_ms = -1, .max_rss_kib = -1};
    if (p->child) {
        /* Until it is collected its number is taken, and so the group of that number is its own. Asked again, it may
         * have been collected. */
        if (kill_group && p->leader && !p->ended)
            kill(-p->pid, SIGKILL);
        ask_child(p, out);
        p->ended = true;
    } else {
        /* The pidfd stands for the group too, even when the leader's number is given away. Older kernels can't: there
         * what is left goes before the next start. */
        if (kill_group && p->leader)
            syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, SIGNAL_TO_GROUP);
        ask_status(p, out);
    }
    return true;
}

void proc_close(struct proc *p)
{
    siginfo_t info;
    if (p->ended)
        wait_child(p, 0, &info, NULL);
    if (p->pidfd >= 0)
        close(p->pidfd);
    *p = (struct proc){.pidfd = -1};
}

void proc_fault_text(const struct proc_spec *spec, const struct proc_fault *fault, char *out, size_t size)
{
    static const char *const what[PROC_STAGES] = {
        [PROC_STAGE_FORK] = "fork",
        [PROC_STAGE_SETSID] = "setsid",
        [PROC_STAGE_STDIN] = "open /dev/null",
        [PROC_STAGE_LOG] = "open the log",
        [PROC_STAGE_LIMIT] = "ulimit",
        [PROC_STAGE_GROUPS] = "set the groups",
        [PROC_STAGE_GID] = "change to group",
        [PROC_STAGE_UID] = "change to user",
        [PROC_STAGE_DIR] = "chdir",
        [PROC_STAGE_EXEC] = "exec",
    };
    const char *stage = what[fault->stage], *reason = strerror(fault->error);
    switch (fault->stage) {
    case PROC_STAGE_DIR:
        snprintf(out, size, "%s %s: %s", stage, spec->dir, reason);
        break;
    case PROC_STAGE_EXEC:
        snprintf(out, size, "%s %s: %s", stage, spec->exe, reason);
        break;
    case PROC_STAGE_GID:
        snprintf(out, size, "%s %u: %s", stage, spec->gid, reason);
        break;
    case PROC_STAGE_UID:
        snprintf(out, size, "%s %u: %s", stage, spec->uid, reason);
        break;
    case PROC_STAGE_LIMIT:
        if ((size_t)fault->limit < spec->nlimits)
            snprintf(out, size, "%s (%s) to %llu: %s", stage, procfs_limit_name(spec->limits[fault->limit].resource),
                     (unsigned long long)spec->limits[fault->limit].value, reason);
        else
            snprintf(out, size, "%s: %s", stage, reason);
        break;
    default:
        snprintf(out, size, "%s: %s", stage, reason);
    }
}
