/* Signalling, adopting and collecting real processes. */
#include "os_proc_fixture.h"

#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

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

/* Its number stays taken until it is let go of, and its end can be asked about once more. */
static void the_ended_is_there_until_it_is_let_go(void **state)
{
    (void)state;
    struct proc p;
    struct proc_exit how;
    start_shell("exit 7", &p);
    await_end(&p);
    struct procfs_stat st;
    for (int i = 0; i < 2; i++) {
        assert_true(proc_reap(&p, true, &how));
        assert_true(how.known);
        assert_int_equal(how.code, 7);
        assert_true(procfs_stat(p.pid, &st));
        assert_int_equal(st.state, 'Z');
    }
    pid_t pid = p.pid;
    proc_close(&p);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* Somebody else was faster. */
static void collect(pid_t pid)
{
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void nothing_reaches_the_collected(void **state)
{
    (void)state;
    struct proc p;
    struct proc_exit how;
    start_shell("exit 0", &p);
    await_end(&p);
    assert_true(proc_reap(&p, true, &how));
    collect(p.pid);
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
    collect(pid);
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
    while (getpgid(pid) != pid) /* until it has a group of that number */
        usleep(100);
    assert_int_equal(proc_signal(&p, SIGKILL, PROC_ONE), -ESRCH);
    assert_int_equal(proc_signal(&p, SIGKILL, PROC_GROUP), -ESRCH);
    assert_true(proc_reap(&p, true, &how)); /* once too often: nothing happens */
    assert_false(how.known);
    struct procfs_stat st;
    assert_true(procfs_stat(pid, &st));
    assert_true(st.state != 'Z');
    struct proc other;
    assert_int_equal(proc_adopt(pid, st.start_ticks - 1, &other), -ESRCH);
    int status;
    kill(pid, SIGTERM); /* had it been given a SIGKILL, it would end by that */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, SIGTERM);
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

/* Whoever can't be looked at for want of a descriptor is not gone. */
static void no_descriptors_to_adopt_with(void **state)
{
    (void)state;
    struct proc p, same;
    char *argv[] = {"/bin/sleep", "1000", NULL};
    struct proc_spec spec = spec_of(argv);
    start(&spec, &p);
    struct procfs_stat st;
    assert_true(procfs_stat(p.pid, &st));
    int fds = count_fds(), next = fcntl(STDERR_FILENO, F_DUPFD, 0);
    close(next);
    struct rlimit old;
    getrlimit(RLIMIT_NOFILE, &old);
    int tries = 0;
    for (int r = -EMFILE; r; tries++) { /* one for the pidfd, one for the file in /proc */
        struct rlimit low = {(rlim_t)(next + tries), old.rlim_max};
        setrlimit(RLIMIT_NOFILE, &low);
        r = proc_adopt(p.pid, st.start_ticks, &same);
        setrlimit(RLIMIT_NOFILE, &old);
        assert_true(r == -EMFILE || r == 0);
        proc_close(&same);
        assert_int_equal(count_fds(), fds);
    }
    assert_true(tries > 2);
    assert_int_equal(proc_signal(&p, SIGKILL, PROC_ONE), 0);
    finish(&p);
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

static bool kernel_is(int wanted_major, int wanted_minor)
{
    struct utsname u;
    int major = 0, minor = 0;
    assert_int_equal(uname(&u), 0);
    assert_int_equal(sscanf(u.release, "%d.%d", &major, &minor), 2);
    return major > wanted_major || (major == wanted_major && minor >= wanted_minor);
}

static bool kernel_keeps_exit_status(void)
{
    return kernel_is(6, 15);
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

/* It leads a group, is no child of ours, and its own parent collects it: its number is free, its group lives on. */
static void the_group_of_an_adopted_leader_goes_with_it(void **state)
{
    (void)state;
    if (!kernel_is(6, 9)) /* it can't signal a group by pidfd */
        skip();
    struct proc parent, p;
    struct proc_exit how;
    start_shell("setsid sh -c 'sleep 1000 & echo $$ $!; read x < \"$0\"' \"$0\" & wait; exec sleep 1000", &parent);
    pid_t pid = await_number(), left = (pid_t)strtol(strchr(output, ' '), NULL, 10);
    struct procfs_stat st;
    assert_true(procfs_stat(pid, &st));
    assert_int_equal(proc_adopt(pid, st.start_ticks, &p), 0);
    assert_true(p.leader);
    assert_false(p.child);
    release_adopted();
    await_end(&p);
    for (int i = 0; i < WAIT_MS && procfs_stat(pid, &st); i++)
        poll(NULL, 0, 1);
    assert_false(procfs_stat(pid, &st));
    assert_true(is_alive(left));
    assert_true(proc_reap(&p, true, &how));
    await_death(left);
    proc_close(&p);
    assert_int_equal(proc_signal(&parent, SIGKILL, PROC_GROUP), 0);
    finish(&parent);
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
    char *good[] = {"/bin/true", NULL}, *bad[] = {"/nonexistent", NULL}, *no_env[] = {NULL};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exit_codes),
        TEST(signals_that_end),
        TEST(core_dumps_are_told),
        TEST(the_group_goes_with_its_leader),
        TEST(the_group_is_left_alone_when_not_asked),
        TEST(scope_of_a_signal),
        TEST(the_ended_is_there_until_it_is_let_go),
        TEST(nothing_reaches_the_collected),
        TEST(a_reused_pid_is_nobody_of_ours),
        TEST(adopts_only_the_one_meant),
        TEST(no_descriptors_to_adopt_with),
        TEST(end_of_an_adopted_process),
        TEST(the_group_of_an_adopted_leader_goes_with_it),
        TEST(zombie_of_somebody_else),
        TEST(the_impossible_is_refused),
        TEST(a_thousand_starts_leak_nothing),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
