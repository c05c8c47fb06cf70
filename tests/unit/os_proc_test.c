/* Starting, signalling and collecting real processes. */
#include "proc.h"
#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define GIVEN_SOFT_NOFILE 512
#define WAIT_MS 10000

static char dir[64], log_path[96], fifo_path[96];
static char output[65536];

/* The descriptor limit this program "was started with", before proc_init sees it. */
static int group_setup(void **state)
{
    (void)state;
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r))
        return -1;
    r.rlim_cur = GIVEN_SOFT_NOFILE;
    return setrlimit(RLIMIT_NOFILE, &r) ? -1 : proc_init();
}

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/proc_test.XXXXXX");
    if (!mkdtemp(dir) || chmod(dir, 0777))
        return -1;
    snprintf(log_path, sizeof log_path, "%s/log", dir);
    snprintf(fifo_path, sizeof fifo_path, "%s/fifo", dir);
    return mkfifo(fifo_path, 0600);
}

static int teardown(void **state)
{
    (void)state;
    unlink(log_path);
    unlink(fifo_path);
    return rmdir(dir);
}

static char *no_env[] = {NULL};
static char *path_env[] = {"PATH=/usr/bin:/bin", NULL};

static struct proc_spec spec_of(char *const *argv)
{
    return (struct proc_spec){.exe = argv[0], .argv = argv, .envp = path_env, .dir = dir, .log_fd = -1, .umask = -1};
}

/* Starts it with its log at log_path. */
static int spawn(struct proc_spec *spec, struct proc *p, struct proc_fault *fault)
{
    spec->log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    assert_true(spec->log_fd >= 0);
    int r = proc_spawn(spec, p, fault);
    close(spec->log_fd);
    return r;
}

static void start(struct proc_spec *spec, struct proc *p)
{
    struct proc_fault fault;
    assert_int_equal(spawn(spec, p, &fault), 0);
    assert_true(p->pid > 0 && p->pidfd >= 0 && p->child && p->leader);
}

static void start_shell(const char *script, struct proc *p)
{
    char *argv[] = {"/bin/sh", "-c", (char *)(uintptr_t)script, "sh", NULL};
    argv[3] = fifo_path; /* $0 */
    struct proc_spec spec = spec_of(argv);
    start(&spec, p);
}

static void await_end(const struct proc *p)
{
    struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};
    assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
    assert_true(proc_has_ended(p));
}

static struct proc_exit finish(struct proc *p)
{
    struct proc_exit how;
    await_end(p);
    assert_true(proc_reap(p, true, &how));
    proc_close(p);
    assert_int_equal(p->pid, 0);
    assert_int_equal(p->pidfd, -1);
    return how;
}

static const char *read_log(void)
{
    int fd = open(log_path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, output, sizeof output - 1);
    assert_true(n >= 0);
    output[n] = 0;
    close(fd);
    return output;
}

/* Runs it to its end and returns what it wrote. */
static const char *output_of(struct proc_spec *spec)
{
    struct proc p;
    start(spec, &p);
    struct proc_exit how = finish(&p);
    assert_true(how.known);
    assert_int_equal(how.code, 0);
    return read_log();
}

/* The first number a started process writes into its log: it waits until it has. */
static pid_t await_number(void)
{
    for (int i = 0; i < WAIT_MS; i++) {
        int fd = open(log_path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, output, sizeof output - 1);
        close(fd);
        output[MAX(n, 0)] = 0;
        if (strchr(output, '\n'))
            return (pid_t)strtol(output, NULL, 10);
        poll(NULL, 0, 1);
    }
    fail_msg("nothing was written");
    return 0;
}

static bool is_alive(pid_t pid)
{
    struct procfs_stat st;
    return procfs_stat(pid, &st) && st.state != 'Z' && st.state != 'X';
}

static void await_death(pid_t pid)
{
    for (int i = 0; i < WAIT_MS && is_alive(pid); i++)
        poll(NULL, 0, 1);
    assert_false(is_alive(pid));
}

static int count_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 1000; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- what a started process finds */

static void environment_is_exactly_the_given(void **state)
{
    (void)state;
    char *argv[] = {"/bin/cat", "/proc/self/environ", NULL};
    char *envp[] = {"MARK=home:env/x", "EMPTY=", "B=two words\nand a line", NULL};
    struct proc_spec spec = spec_of(argv);
    spec.envp = envp;
    output_of(&spec);
    static const char expected[] = "MARK=home:env/x\0EMPTY=\0B=two words\nand a line";
    assert_memory_equal(output, expected, sizeof expected);
    assert_int_equal(output[sizeof expected], 0);
}

static void leads_its_own_session(void **state)
{
    (void)state;
    struct proc p;
    char *argv[] = {"/bin/sleep", "1000", NULL};
    struct proc_spec spec = spec_of(argv);
    start(&spec, &p);
    struct procfs_stat st;
    assert_true(procfs_stat(p.pid, &st));
    assert_int_equal(st.ppid, getpid());
    assert_int_equal(st.session, p.pid);
    assert_int_equal(st.pgrp, p.pid);
    assert_false(proc_has_ended(&p));
    assert_int_equal(proc_signal(&p, SIGKILL, PROC_ONE), 0);
    finish(&p);
}

static void on_signal(int sig)
{
    (void)sig;
}

static void signals_are_at_their_defaults(void **state)
{
    (void)state;
    sigset_t mask, before, after;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGRTMIN, SIG_IGN);
    signal(SIGUSR2, on_signal);
    sigprocmask(SIG_BLOCK, NULL, &before);
    char *argv[] = {"/bin/cat", "/proc/self/status", NULL};
    struct proc_spec spec = spec_of(argv);
    output_of(&spec);
    sigprocmask(SIG_BLOCK, NULL, &after);
    for (int sig = 1; sig < NSIG; sig++)
        assert_int_equal(sigismember(&before, sig), sigismember(&after, sig));
    struct sigaction sa;
    sigaction(SIGPIPE, NULL, &sa);
    assert_ptr_equal(sa.sa_handler, SIG_IGN); /* ours are as they were */
    sigaction(SIGUSR2, NULL, &sa);
    assert_ptr_equal(sa.sa_handler, on_signal);
    sigaction(SIGHUP, NULL, &sa);
    assert_ptr_equal(sa.sa_handler, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGRTMIN, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    assert_non_null(strstr(output, "SigBlk:\t0000000000000000\n"));
    assert_non_null(strstr(output, "SigIgn:\t0000000000000001\n")); /* SIGHUP alone */
    assert_non_null(strstr(output, "SigCgt:\t0000000000000000\n"));
}

static void no_descriptor_leaks_into_it(void **state)
{
    (void)state;
    int low = open("/dev/zero", O_RDONLY), high = fcntl(low, F_DUPFD, 400);
    assert_true(low > 2 && high >= 400);
    char *argv[] = {"/bin/ls", "-l", "/proc/self/fd", NULL};
    struct proc_spec spec = spec_of(argv);
    output_of(&spec);
    close(low);
    close(high);
    char zero[64], one[160], two[160];
    snprintf(zero, sizeof zero, " 0 -> /dev/null\n");
    snprintf(one, sizeof one, " 1 -> %s\n", log_path);
    snprintf(two, sizeof two, " 2 -> %s\n", log_path);
    assert_non_null(strstr(output, zero));
    assert_non_null(strstr(output, one));
    assert_non_null(strstr(output, two));
    int lines = 0;
    for (const char *p = output; (p = strstr(p, " -> ")); p++)
        lines++;
    assert_int_equal(lines, 4); /* and the folder ls itself has open */
}

static void stdio_works_when_ours_is_closed(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        for (int fd = 0; fd <= 2; fd++)
            close(fd);
        char *argv[] = {"/bin/sh", "-c", "read x; echo out$?; echo err >&2", NULL};
        struct proc_spec spec = spec_of(argv);
        spec.log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666); /* becomes 0 */
        struct proc p;
        struct proc_fault fault;
        if (proc_spawn(&spec, &p, &fault))
            _exit(1);
        struct pollfd pfd = {.fd = p.pidfd, .events = POLLIN};
        _exit(poll(&pfd, 1, WAIT_MS) == 1 ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_string_equal(read_log(), "out1\nerr\n");
}

static void descriptor_limit_is_given_back(void **state)
{
    (void)state;
    struct rlimit mine;
    getrlimit(RLIMIT_NOFILE, &mine);
    assert_int_equal(mine.rlim_cur, mine.rlim_max); /* our own was raised */
    char *argv[] = {"/bin/sh", "-c", "ulimit -Sn; ulimit -Hn", NULL};
    struct proc_spec spec = spec_of(argv);
    char expected[64];
    snprintf(expected, sizeof expected, "%d\n%llu\n", GIVEN_SOFT_NOFILE, (unsigned long long)mine.rlim_max);
    assert_string_equal(output_of(&spec), expected);
}

static void limits_are_applied_in_order(void **state)
{
    (void)state;
    char *argv[] = {"/bin/sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc", NULL};
    const struct proc_limit limits[] = {
        {.resource = RLIMIT_NOFILE, .hard = true, .value = 400}, /* below the soft one: refused */
        {.resource = RLIMIT_NOFILE, .soft = true, .hard = true, .value = 300},
        {.resource = RLIMIT_NOFILE, .soft = true, .value = 200},
        {.resource = RLIMIT_CORE, .soft = true, .value = 0},
    };
    struct rlimit core;
    getrlimit(RLIMIT_CORE, &core);
    struct proc_spec spec = spec_of(argv);
    spec.limits = limits + 1;
    spec.nlimits = 3;
    output_of(&spec);
    char expected[96], hard_core[32] = "unlimited";
    if (core.rlim_max != RLIM_INFINITY)
        snprintf(hard_core, sizeof hard_core, "%llu", (unsigned long long)core.rlim_max / 512);
    snprintf(expected, sizeof expected, "200\n300\n0\n%s\n", hard_core);
    assert_string_equal(output, expected);

    struct proc p;
    struct proc_fault fault;
    spec.limits = limits;
    spec.nlimits = 4;
    assert_int_equal(spawn(&spec, &p, &fault), -EINVAL);
    assert_int_equal(fault.stage, PROC_STAGE_LIMIT);
    assert_int_equal(fault.limit, 0);
}

static void folder_and_umask(void **state)
{
    (void)state;
    char *argv[] = {"/bin/sh", "-c", "pwd; umask", NULL};
    struct proc_spec spec = spec_of(argv);
    spec.umask = 027;
    char expected[128];
    snprintf(expected, sizeof expected, "%s\n0027\n", dir);
    assert_string_equal(output_of(&spec), expected);
    unlink(log_path);
    mode_t old = umask(031);
    spec.umask = -1;
    output_of(&spec);
    assert_int_equal(umask(old), 031); /* ours was not touched */
    snprintf(expected, sizeof expected, "%s\n0031\n", dir);
    assert_string_equal(output, expected);
}

static void user_and_groups(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    char *argv[] = {"/bin/sh", "-c", "grep -E '^(Uid|Gid|Groups):' /proc/self/status", NULL};
    const gid_t groups[] = {54323, 54324};
    struct proc_spec spec = spec_of(argv);
    spec.set_ids = true;
    spec.uid = 54321;
    spec.gid = 54322;
    spec.groups = groups;
    spec.ngroups = ARRAY_LEN(groups);
    output_of(&spec);
    assert_non_null(strstr(output, "Uid:\t54321\t54321\t54321\t54321\n"));
    assert_non_null(strstr(output, "Gid:\t54322\t54322\t54322\t54322\n"));
    assert_non_null(strstr(output, "Groups:\t54323 54324"));
    assert_int_equal(geteuid(), 0); /* it ran in our memory, but not as us */
}

/* ---- starts that fail */

static void assert_fault(struct proc_spec *spec, enum proc_stage stage, int error, const char *text)
{
    struct proc p;
    struct proc_fault fault;
    char got[512];
    int fds = count_fds();
    assert_int_equal(spawn(spec, &p, &fault), -error);
    assert_int_equal(fault.stage, stage);
    assert_int_equal(fault.error, error);
    assert_int_equal(p.pid, 0);
    assert_int_equal(p.pidfd, -1);
    proc_fault_text(spec, &fault, got, sizeof got);
    assert_string_equal(got, text);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left to collect */
    assert_int_equal(errno, ECHILD);
    assert_int_equal(count_fds(), fds);
}

static void failed_starts_say_where(void **state)
{
    (void)state;
    char *missing[] = {"/nonexistent/program", NULL};
    struct proc_spec spec = spec_of(missing);
    assert_fault(&spec, PROC_STAGE_EXEC, ENOENT, "exec /nonexistent/program: No such file or directory");

    char *no_program[] = {log_path, NULL}; /* not executable */
    spec = spec_of(no_program);
    char text[256];
    snprintf(text, sizeof text, "exec %s: Permission denied", log_path);
    assert_fault(&spec, PROC_STAGE_EXEC, EACCES, text);

    char *argv[] = {"/bin/true", NULL};
    spec = spec_of(argv);
    spec.dir = "/nonexistent/folder";
    assert_fault(&spec, PROC_STAGE_DIR, ENOENT, "chdir /nonexistent/folder: No such file or directory");

    const struct proc_limit limits[] = {{.resource = RLIMIT_CORE, .soft = true, .hard = true, .value = 0},
                                        {.resource = RLIMIT_NOFILE, .hard = true, .value = 10}};
    spec = spec_of(argv);
    spec.limits = limits;
    spec.nlimits = ARRAY_LEN(limits);
    assert_fault(&spec, PROC_STAGE_LIMIT, EINVAL, "ulimit (open files) to 10: Invalid argument");

    spec = spec_of(argv);
    struct proc p;
    struct proc_fault fault;
    assert_int_equal(proc_spawn(&spec, &p, &fault), -EBADF); /* log_fd -1 */
    assert_int_equal(fault.stage, PROC_STAGE_LOG);
    proc_fault_text(&spec, &fault, text, sizeof text);
    assert_string_equal(text, "open the log: Bad file descriptor");
}

static void every_stage_has_a_text(void **state)
{
    (void)state;
    char *argv[] = {"/bin/true", NULL};
    struct proc_spec spec = spec_of(argv);
    spec.uid = 11;
    spec.gid = 12;
    static const char *const expected[PROC_STAGES] = {
        [PROC_STAGE_FORK] = "fork: Operation not permitted",
        [PROC_STAGE_SETSID] = "setsid: Operation not permitted",
        [PROC_STAGE_STDIN] = "open /dev/null: Operation not permitted",
        [PROC_STAGE_LOG] = "open the log: Operation not permitted",
        [PROC_STAGE_LIMIT] = "ulimit: Operation not permitted",
        [PROC_STAGE_GROUPS] = "set the groups: Operation not permitted",
        [PROC_STAGE_GID] = "change to group 12: Operation not permitted",
        [PROC_STAGE_UID] = "change to user 11: Operation not permitted",
        [PROC_STAGE_DIR] = "chdir /d: Operation not permitted",
        [PROC_STAGE_EXEC] = "exec /bin/true: Operation not permitted",
    };
    spec.dir = "/d";
    for (int i = 0; i < PROC_STAGES; i++) {
        struct proc_fault fault = {.stage = (enum proc_stage)i, .error = EPERM};
        char text[128];
        proc_fault_text(&spec, &fault, text, sizeof text);
        assert_string_equal(text, expected[i]);
    }
}

/* Runs `body` in a forked child, which may give rights away; it answers by its exit code. */
static void in_a_child(int (*body)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool become_nobody(void)
{
    return geteuid() != 0 || !syscall(SYS_setresuid, 65534, 65534, 65534);
}

/* 0 when the start fails as expected, else a code that says what was different. */
static int expect_fault(struct proc_spec *spec, enum proc_stage stage, int error)
{
    struct proc p;
    struct proc_fault fault;
    spec->log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int r = proc_spawn(spec, &p, &fault);
    close(spec->log_fd);
    return r != -error ? 10 + (r == 0) : fault.stage != stage ? 20 + (int)fault.stage : 0;
}

static int raise_a_hard_limit(void)
{
    const struct rlimit low = {10, 10};
    if (setrlimit(RLIMIT_CORE, &low) || !become_nobody())
        return 1;
    char *argv[] = {"/bin/true", NULL};
    const struct proc_limit limit = {.resource = RLIMIT_CORE, .soft = true, .hard = true, .value = 1024};
    struct proc_spec spec = spec_of(argv);
    spec.limits = &limit;
    spec.nlimits = 1;
    return expect_fault(&spec, PROC_STAGE_LIMIT, EPERM);
}

static int become_another(void)
{
    char *argv[] = {"/bin/true", NULL};
    struct proc_spec spec = spec_of(argv);
    spec.set_ids = true;
    spec.uid = spec.gid = 54321;
    return become_nobody() ? expect_fault(&spec, PROC_STAGE_GROUPS, EPERM) : 1;
}

static int fork_beyond_the_limit(void)
{
    const struct rlimit none = {0, 0};
    if (!become_nobody() || setrlimit(RLIMIT_NPROC, &none))
        return 1;
    char *argv[] = {"/bin/true", NULL};
    struct proc_spec spec = spec_of(argv);
    return expect_fault(&spec, PROC_STAGE_FORK, EAGAIN);
}

/* May change groups, but not users. */
static int change_user_without_the_right(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2];
    if (syscall(SYS_capget, &head, caps))
        return 1;
    caps[0].effective &= ~(1U << CAP_SETUID);
    caps[0].permitted &= ~(1U << CAP_SETUID);
    if (syscall(SYS_capset, &head, caps))
        return 2;
    char *argv[] = {"/bin/true", NULL};
    struct proc_spec spec = spec_of(argv);
    spec.set_ids = true;
    spec.uid = spec.gid = 54321;
    return expect_fault(&spec, PROC_STAGE_UID, EPERM);
}

static void what_we_may_not_do_is_told(void **state)
{
    (void)state;
    in_a_child(raise_a_hard_limit);
    in_a_child(become_another);
    in_a_child(fork_beyond_the_limit);
    if (geteuid() == 0)
        in_a_child(change_user_without_the_right);
}

/* ---- ends */

static void exit_codes(void **state)
{
    (void)state;
    struct proc p;
    struct proc_exit how;
    start_shell("exit 3", &p);
    how = finish(&p);
    assert_true(how.known);
    assert_int_equal(how.code, 3);
    assert_int_equal(how.signal, 0);
    assert_false(how.core);
    assert_true(how.cpu_ms >= 0);
    assert_true(how.max_rss_kib > 0);
    start_shell("exit 0", &p);
    how = finish(&p);
    assert_true(how.known);
    assert_int_equal(how.code, 0);
}

static void signals_that_end(void **state)
{
    (void)state;
    struct proc p;
    static const int signals[] = {SIGTERM, SIGKILL, SIGINT, SIGPIPE, SIGUSR1};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        char *argv[] = {"/bin/sleep", "1000", NULL};
        struct proc_spec spec = spec_of(argv);
        start(&spec, &p);
        struct proc_exit how;
        assert_false(proc_reap(&p, true, &how));
        assert_int_equal(proc_signal(&p, 0, PROC_ONE), 0);
        assert_int_equal(proc_signal(&p, SIGHUP, PROC_ONE), 0); /* ignored */
        assert_int_equal(proc_signal(&p, signals[i], PROC_ONE), 0);
        how = finish(&p);
        assert_true(how.known);
        assert_int_equal(how.code, -1);
        assert_int_equal(how.signal, signals[i]);
        assert_false(how.core);
    }
}

/* Whether a core is dumped depends on the host: it must be told as wait(2) tells it. */
static void core_dumps_are_told(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const struct proc_limit limit = {.resource = RLIMIT_CORE, .soft = true, .value = i ? 64 * 1024 * 1024 : 0};
        struct rlimit hard;
        getrlimit(RLIMIT_CORE, &hard);
        if (i && hard.rlim_max < limit.value)
            break;
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            const struct rlimit r = {limit.value, hard.rlim_max};
            setrlimit(RLIMIT_CORE, &r);
            if (chdir(dir))
                _exit(1);
            execl("/bin/sh", "sh", "-c", "kill -SEGV $$", NULL);
            _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        char *argv[] = {"/bin/sh", "-c", "kill -SEGV $$", NULL};
        struct proc_spec spec = spec_of(argv);
        spec.limits = &limit;
        spec.nlimits = 1;
        struct proc p;
        start(&spec, &p);
        pid_t second = p.pid;
        struct proc_exit how = finish(&p);
        assert_int_equal(how.signal, SIGSEGV);
        assert_int_equal(how.code, -1);
        assert_int_equal(how.core, WCOREDUMP(status) != 0);
        char path[160];
        const pid_t pids[] = {pid, second};
        for (size_t k = 0; k < ARRAY_LEN(pids); k++) {
            snprintf(path, sizeof path, "%s/core.%d", dir, pids[k]);
            unlink(path);
        }
        snprintf(path, sizeof path, "%s/core", dir);
        unlink(path);
    }
}

static void the_group_goes_with_its_leader(void **state)
{
    (void)state;
    struct proc p;
    struct proc_exit how;
    start_shell("sleep 1000 & echo $!; exit 4", &p);
    await_end(&p);
    pid_t left = await_number();
    assert_true(is_alive(left));
    assert_true(proc_reap(&p, true, &how));
    assert_int_equal(how.code, 4);
    await_death(left);
    proc_close(&p);
}

static void the_group_is_left_alone_when_not_asked(void **state)
{
    (void)state;
    struct proc p;
    struct proc_exit how;
    start_shell("sleep 1000 & echo $!; exit 0", &p);
    await_end(&p);
    pid_t left = await_number();
    struct procfs_stat st;
    assert_true(procfs_stat(left, &st));
    assert_true(proc_reap(&p, false, &how));
    proc_close(&p);
    struct proc rest;
    assert_int_equal(proc_adopt(left, st.start_ticks, &rest), 0); /* the very same is still there */
    assert_false(proc_has_ended(&rest));
    assert_int_equal(proc_signal(&rest, SIGKILL, PROC_ONE), 0);
    await_end(&rest);
    proc_close(&rest);
}

static void scope_of_a_signal(void **state)
{
    (void)state;
    struct proc p;
    start_shell("sleep 1000 & echo $!; wait", &p);
    pid_t child = await_number();
    assert_int_equal(proc_signal(&p, SIGTERM, PROC_ONE), 0);
    await_end(&p);
    assert_true(is_alive(child));
    assert_int_equal(proc_signal(&p, SIGTERM, PROC_GROUP), 0); /* not collected yet: the group is still its own */
    await_death(child);
    finish(&p);
    unlink(log_path);
    start_shell("sleep 1000 & echo $!; wait", &p);
    child = await_number();
    assert_int_equal(proc_signal(&p, SIGTERM, PROC_GROUP), 0);
    await_end(&p);
    await_death(child);
    finish(&p);
}

static void nothing_reaches_the_collected(void **state)
{
    (void)state;
    struct proc p;
    struct proc_exit how;
    start_shell("exit 0", &p);
    await_end(&p);
    assert_true(proc_reap(&p, true, &how));
    assert_int_equal(proc_signal(&p, SIGTERM, PROC_ONE), -ESRCH);
    assert_int_equal(proc_signal(&p, SIGTERM, PROC_GROUP), -ESRCH);
    assert_int_equal(proc_signal(&p, 0, PROC_ONE), -ESRCH);
    proc_close(&p);
    assert_int_equal(proc_signal(&p, SIGTERM, PROC_ONE), -ESRCH);
    assert_false(proc_has_ended(&p));
    assert_false(proc_reap(&p, true, &how));
}

/* A stranger with the pid of a process that we still hold must get none of its signals. */
static void a_reused_pid_is_nobody_of_ours(void **state)
{
    (void)state;
    struct proc p;
    struct proc_exit how;
    start_shell("exit 0", &p);
    await_end(&p);
    pid_t pid = p.pid;
    assert_true(proc_reap(&p, true, &how));
    struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&pid, .set_tid_size = 1};
    long stranger = syscall(SYS_clone3, &args, sizeof args);
    if (stranger == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setpgid(0, 0);
        for (;;)
            pause();
    }
    if (stranger < 0) { /* only root may choose a pid; or somebody was faster */
        proc_close(&p);
        skip();
    }
    assert_int_equal(stranger, pid);
    assert_int_equal(proc_signal(&p, SIGKILL, PROC_ONE), -ESRCH);
    assert_int_equal(proc_signal(&p, SIGKILL, PROC_GROUP), -ESRCH);
    assert_true(proc_reap(&p, true, &how)); /* once too often: nothing happens */
    assert_false(how.known);
    struct procfs_stat st;
    assert_true(procfs_stat(pid, &st));
    assert_true(st.state != 'Z');
    struct proc other;
    assert_int_equal(proc_adopt(pid, st.start_ticks - 1, &other), -ESRCH);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    proc_close(&p);
}

/* ---- adoption */

static void adopts_only_the_one_meant(void **state)
{
    (void)state;
    struct proc p, same;
    char *argv[] = {"/bin/sleep", "1000", NULL};
    struct proc_spec spec = spec_of(argv);
    start(&spec, &p);
    struct procfs_stat st;
    assert_true(procfs_stat(p.pid, &st));
    int fds = count_fds();
    assert_int_equal(proc_adopt(p.pid, st.start_ticks + 1, &same), -ESRCH);
    assert_int_equal(same.pidfd, -1);
    assert_int_equal(proc_adopt(p.pid, st.start_ticks - 1, &same), -ESRCH);
    assert_int_equal(count_fds(), fds);
    assert_int_equal(proc_adopt(p.pid, st.start_ticks, &same), 0);
    assert_int_equal(same.pid, p.pid);
    assert_int_equal(same.start_ticks, st.start_ticks);
    assert_true(same.child); /* as after an upgrade: it is still ours to collect */
    assert_true(same.leader);
    assert_int_equal(proc_signal(&same, SIGKILL, PROC_ONE), 0);
    await_end(&same);
    proc_close(&p);
    assert_int_equal(proc_adopt(same.pid, st.start_ticks, &p), -ESRCH); /* a zombie */
    pid_t pid = same.pid;
    struct proc_exit how = finish(&same);
    assert_int_equal(how.signal, SIGKILL);
    assert_int_equal(proc_adopt(pid, st.start_ticks, &p), -ESRCH); /* gone */
    assert_int_equal(count_fds(), fds - 1);
}

/* Starts a script whose process is no child of ours, and takes hold of it. It goes on
 * once release_adopted was called. */
static void adopt_script(const char *rest, struct proc *p)
{
    char script[512];
    snprintf(script, sizeof script, "(read x < \"$0\"; %s) & echo $!", rest);
    struct proc parent;
    struct proc_exit how;
    start_shell(script, &parent);
    await_end(&parent);
    assert_true(proc_reap(&parent, false, &how));
    proc_close(&parent);
    pid_t pid = await_number();
    struct procfs_stat st;
    assert_true(procfs_stat(pid, &st));
    assert_int_equal(proc_adopt(pid, st.start_ticks, p), 0);
    assert_false(p->child);
    assert_false(p->leader);
}

static void release_adopted(void)
{
    int fd = open(fifo_path, O_WRONLY | O_CLOEXEC); /* waits for the reader */
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x\n", 2), 2);
    close(fd);
}

static bool kernel_keeps_exit_status(void)
{
    struct utsname u;
    int major = 0, minor = 0;
    assert_int_equal(uname(&u), 0);
    assert_int_equal(sscanf(u.release, "%d.%d", &major, &minor), 2);
    return major > 6 || (major == 6 && minor >= 15);
}

static void end_of_an_adopted_process(void **state)
{
    (void)state;
    struct proc p;
    struct proc_exit how;
    adopt_script("exit 7", &p);
    assert_false(proc_has_ended(&p));
    assert_false(proc_reap(&p, true, &how));
    release_adopted();
    await_end(&p);
    assert_true(proc_reap(&p, true, &how));
    if (kernel_keeps_exit_status())
        assert_true(how.known);
    assert_int_equal(how.code, how.known ? 7 : -1);
    assert_int_equal(how.signal, 0);
    proc_close(&p);

    unlink(log_path);
    adopt_script("exit 0", &p);
    assert_int_equal(proc_signal(&p, SIGTERM, PROC_GROUP), 0); /* leads no group: it alone */
    await_end(&p);
    assert_true(proc_reap(&p, true, &how));
    if (kernel_keeps_exit_status())
        assert_true(how.known);
    assert_int_equal(how.signal, how.known ? SIGTERM : 0);
    assert_int_equal(how.code, -1);
    proc_close(&p);
}

/* Its parent is alive and does not collect it: the status can be seen in /proc. */
static void zombie_of_somebody_else(void **state)
{
    (void)state;
    int to_parent[2], to_child[2];
    assert_int_equal(pipe(to_parent), 0);
    assert_int_equal(pipe(to_child), 0);
    pid_t middle = fork();
    if (middle == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pid_t pid = fork();
        if (pid == 0) {
            char c;
            _exit(read(to_child[0], &c, 1) == 1 ? 9 : 1);
        }
        if (write(to_parent[1], &pid, sizeof pid) != sizeof pid)
            _exit(1);
        for (;;)
            pause();
    }
    pid_t pid;
    assert_int_equal(read(to_parent[0], &pid, sizeof pid), sizeof pid);
    struct procfs_stat st;
    struct proc p;
    struct proc_exit how;
    assert_true(procfs_stat(pid, &st));
    assert_int_equal(proc_adopt(pid, st.start_ticks, &p), 0);
    assert_int_equal(write(to_child[1], "x", 1), 1);
    await_end(&p);
    assert_true(procfs_stat(pid, &st));
    assert_int_equal(st.state, 'Z');
    assert_true(proc_reap(&p, true, &how));
    assert_true(how.known);
    assert_int_equal(how.code, 9);
    assert_int_equal(how.signal, 0);
    proc_close(&p);
    kill(middle, SIGKILL);
    assert_int_equal(waitpid(middle, NULL, 0), middle);
    for (int i = 0; i < 2; i++) {
        close(to_parent[i]);
        close(to_child[i]);
    }
}

static void the_impossible_is_refused(void **state)
{
    (void)state;
    struct proc p;
    assert_true(proc_adopt(INT_MAX, 1, &p) < 0);
    assert_int_equal(p.pid, 0);
    assert_true(proc_adopt(0, 1, &p) < 0);
    assert_true(proc_adopt(-1, 1, &p) < 0);
    proc_close(&p);
}

static void a_thousand_starts_leak_nothing(void **state)
{
    (void)state;
    char *good[] = {"/bin/true", NULL}, *bad[] = {"/nonexistent", NULL};
    int fds = count_fds();
    for (int i = 0; i < 1000; i++) {
        struct proc_spec spec = spec_of(i % 10 ? good : bad);
        spec.envp = no_env;
        struct proc p;
        struct proc_fault fault;
        int r = spawn(&spec, &p, &fault);
        assert_int_equal(r, i % 10 ? 0 : -ENOENT);
        if (!r)
            assert_int_equal(finish(&p).code, 0);
    }
    assert_int_equal(count_fds(), fds);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(environment_is_exactly_the_given),
        TEST(leads_its_own_session),
        TEST(signals_are_at_their_defaults),
        TEST(no_descriptor_leaks_into_it),
        TEST(stdio_works_when_ours_is_closed),
        TEST(descriptor_limit_is_given_back),
        TEST(limits_are_applied_in_order),
        TEST(folder_and_umask),
        TEST(user_and_groups),
        TEST(failed_starts_say_where),
        TEST(every_stage_has_a_text),
        TEST(what_we_may_not_do_is_told),
        TEST(exit_codes),
        TEST(signals_that_end),
        TEST(core_dumps_are_told),
        TEST(the_group_goes_with_its_leader),
        TEST(the_group_is_left_alone_when_not_asked),
        TEST(scope_of_a_signal),
        TEST(nothing_reaches_the_collected),
        TEST(a_reused_pid_is_nobody_of_ours),
        TEST(adopts_only_the_one_meant),
        TEST(end_of_an_adopted_process),
        TEST(zombie_of_somebody_else),
        TEST(the_impossible_is_refused),
        TEST(a_thousand_starts_leak_nothing),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
