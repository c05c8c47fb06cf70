/* Starting real processes: what they find, and what is told when it fails. */
#include "os_proc_fixture.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

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

/* As many as it takes, of which one is none, one lives, and one was collected by nobody. */
static void of_many_those_that_have_ended_are_told(void **state)
{
    (void)state;
    enum { MANY = PROC_MANY };
    static const struct proc none = {.pidfd = -1};
    const struct proc *procs[MANY];
    bool ended[MANY];
    struct proc alive, dead;
    char *argv[] = {"/bin/sleep", "1000", NULL};
    struct proc_spec spec = spec_of(argv);
    start(&spec, &alive);
    start(&spec, &dead);
    assert_int_equal(proc_signal(&dead, SIGKILL, PROC_ONE), 0);
    while (!proc_has_ended(&dead))
        poll(NULL, 0, 1);
    for (size_t i = 0; i < MANY; i++) {
        procs[i] = i % 3 == 0 ? &none : i % 3 == 1 ? &alive : &dead;
        ended[i] = i % 3 != 2;
    }
    proc_have_ended(procs, MANY, ended);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(ended[i], i % 3 == 2);
    proc_have_ended(procs, 0, ended);
    assert_int_equal(proc_signal(&alive, SIGKILL, PROC_ONE), 0);
    finish(&alive);
    finish(&dead);
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
    proc_note_signals();
    signal(SIGCHLD, on_signal); /* comes with the first helper */
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
    signal(SIGCHLD, SIG_DFL);
    proc_note_signals();
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

/* Runs as another user something that looks for rights it has; 0 when there are none. */
static int look_for_rights(void)
{
    static const char *const look = "grep -E '^Cap(Inh|Prm|Eff|Amb):.*[1-9a-f]' /proc/self/status; test $? = 1";
    char *argv[] = {"/bin/sh", "-c", (char *)(uintptr_t)look, NULL};
    struct proc_spec spec = spec_of(argv);
    struct proc p;
    struct proc_fault fault;
    struct proc_exit how;
    spec.set_ids = true;
    spec.uid = spec.gid = 54321;
    spec.log_fd = STDERR_FILENO;
    if (proc_spawn(&spec, &p, &fault))
        return 3;
    while (!proc_reap(&p, false, &how))
        poll(NULL, 0, 1);
    proc_close(&p);
    return how.known && how.code == 0 ? 0 : 4;
}

/* All that is permitted is passed on to whatever is run, too. */
static int give_on(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2];
    if (syscall(SYS_capget, &head, caps))
        return 5;
    for (int i = 0; i < 2; i++)
        caps[i].effective = caps[i].inheritable = caps[i].permitted;
    if (syscall(SYS_capset, &head, caps))
        return 6;
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETUID, 0, 0) ||
                   prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0)
               ? 7
               : 0;
}

static int root_with_all_passed_on(void)
{
    int r = give_on();
    return r ? r : look_for_rights();
}

static int root_whose_rights_stay(void)
{
    int r = prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) ? 8 : give_on();
    return r ? r : look_for_rights();
}

/* A monitor that is not root, but may become anybody. */
static int somebody_with_rights(void)
{
    int r =
        prctl(PR_SET_KEEPCAPS, 1) || setresgid(54400, 54400, 54400) || setresuid(54400, 54400, 54400) ? 9 : give_on();
    return r ? r : look_for_rights();
}

static void another_user_gets_no_rights_of_ours(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    in_a_child(root_with_all_passed_on);
    in_a_child(root_whose_rights_stay);
    in_a_child(somebody_with_rights);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(environment_is_exactly_the_given),
        TEST(leads_its_own_session),
        TEST(of_many_those_that_have_ended_are_told),
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
        TEST(another_user_gets_no_rights_of_ours),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
