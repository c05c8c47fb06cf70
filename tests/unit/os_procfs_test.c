/* What /proc tells: one process, all of them, odd names, zombies. */
#include "procfs.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A child that does `prepare`, says so, and waits to be killed. */
static pid_t start_child(void (*prepare)(void))
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prepare();
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char c;
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    return pid;
}

static void end_child(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void nothing_special(void)
{
}

static void own_facts(void **state)
{
    (void)state;
    struct procfs_stat st;
    assert_true(procfs_stat(getpid(), &st));
    assert_int_equal(st.ppid, getppid());
    assert_int_equal(st.pgrp, getpgrp());
    assert_int_equal(st.session, getsid(0));
    assert_int_equal(st.state, 'R');
    assert_true(st.rss_kib > 0);
    assert_true(st.cpu_ms >= 0);
    assert_false(st.exit_status_known);
    int64_t start = procfs_start_ms(st.start_ticks);
    assert_true(start > 0 && start <= clock_mono_ms());
}

static void start_time_is_on_our_clock(void **state)
{
    (void)state;
    int64_t before = clock_mono_ms();
    pid_t pid = start_child(nothing_special);
    int64_t after = clock_mono_ms();
    struct procfs_stat st;
    assert_true(procfs_stat(pid, &st));
    int64_t start = procfs_start_ms(st.start_ticks), tick = 1000 / sysconf(_SC_CLK_TCK);
    assert_true(start >= before - tick && start <= after);
    end_child(pid);
}

static void no_such_process(void **state)
{
    (void)state;
    pid_t pid = start_child(nothing_special);
    end_child(pid);
    struct procfs_stat st;
    assert_false(procfs_stat(pid, &st));
    assert_false(procfs_catches(pid, SIGTERM));
}

static const char *odd_name;

static void take_odd_name(void)
{
    prctl(PR_SET_NAME, odd_name);
}

static void odd_names_do_not_confuse(void **state)
{
    (void)state;
    static const char *const names[] = {"a b", "x) R 1 2 3", "((((", "))))", "a)\nb (c", ") Z 1 1 1 1 1", "\n", ""};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        odd_name = names[i];
        pid_t pid = start_child(take_odd_name);
        struct procfs_stat st;
        assert_true(procfs_stat(pid, &st));
        assert_int_equal(st.ppid, getpid());
        assert_int_equal(st.pgrp, getpgrp());
        assert_int_equal(st.session, getsid(0));
        assert_true(st.state == 'S' || st.state == 'R');
        assert_true(st.start_ticks > 0);
        end_child(pid);
    }
}

/* Waits for an end without collecting it. */
static void await_zombie(pid_t pid)
{
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void zombies_show_their_status(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    await_zombie(pid);
    struct procfs_stat st;
    assert_true(procfs_stat(pid, &st));
    assert_int_equal(st.state, 'Z');
    assert_true(st.exit_status_known);
    assert_true(WIFEXITED(st.exit_status));
    assert_int_equal(WEXITSTATUS(st.exit_status), 7);
    assert_int_equal(waitpid(pid, NULL, 0), pid);

    pid = start_child(nothing_special);
    kill(pid, SIGKILL);
    await_zombie(pid);
    assert_true(procfs_stat(pid, &st));
    assert_true(st.exit_status_known);
    assert_true(WIFSIGNALED(st.exit_status));
    assert_int_equal(WTERMSIG(st.exit_status), SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void *wait_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

/* State of its first thread, as the kernel has it. */
static char raw_state(pid_t pid)
{
    char path[40], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    const char *end = strrchr(text, ')');
    assert_non_null(end);
    return end[2];
}

/* A program whose main function has ended by pthread_exit goes on in its other threads. */
static void a_process_without_its_first_thread_lives(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t other;
        alarm(20); /* it must not outlive a test that fails */
        if (!pthread_create(&other, NULL, wait_for_ever, NULL))
            pthread_exit(NULL);
        _exit(1);
    }
    while (raw_state(pid) != 'Z')
        poll(NULL, 0, 1);
    struct procfs_stat st;
    assert_true(procfs_stat(pid, &st));
    assert_int_equal(st.state, 'S');
    assert_false(st.exit_status_known);
    kill(pid, SIGKILL);
    await_zombie(pid);
    assert_true(procfs_stat(pid, &st));
    assert_int_equal(st.state, 'Z');
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void on_signal(int sig)
{
    (void)sig;
}

static void catch_usr1(void)
{
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    signal(SIGRTMIN + 3, on_signal);
}

static void sees_handlers(void **state)
{
    (void)state;
    pid_t pid = start_child(catch_usr1);
    assert_true(procfs_catches(pid, SIGUSR1));
    assert_true(procfs_catches(pid, SIGRTMIN + 3));
    assert_false(procfs_catches(pid, SIGUSR2)); /* ignored is not handled */
    assert_false(procfs_catches(pid, SIGTERM));
    end_child(pid);
}

static void scan_finds_ourselves(void **state)
{
    (void)state;
    struct procfs_table t;
    procfs_scan("NO_SUCH_VARIABLE_ANYWHERE", NULL, 0, NULL, &t);
    assert_int_equal(t.error, 0);
    const struct procfs_entry *me = procfs_table_find(&t, getpid());
    assert_non_null(me);
    assert_int_equal(me->uid, geteuid());
    assert_int_equal(me->stat.ppid, getppid());
    assert_null(me->marker);
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    assert_true(n > 0);
    path[n] = 0;
    assert_string_equal(me->exe, path);
    assert_non_null(getcwd(path, sizeof path));
    assert_string_equal(me->cwd, path);
    int fd = open("/proc/self/cmdline", O_RDONLY);
    n = read(fd, path, sizeof path);
    close(fd);
    assert_int_equal(me->cmdline_len, n);
    assert_memory_equal(me->cmdline, path, n);
    for (size_t i = 1; i < t.count; i++)
        assert_true(t.entries[i - 1].pid < t.entries[i].pid);
    assert_null(procfs_table_find(&t, -1));
    assert_null(procfs_table_find(&t, INT32_MAX));
    procfs_table_fini(&t);
    assert_null(procfs_table_find(&t, getpid()));
}

/* `sleep` under a name and with an environment of our choosing. */
static pid_t start_marked(char *arg0, char *const *envp)
{
    int ready[2];
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char *argv[] = {arg0, "1000", NULL};
        execve("/bin/sleep", argv, envp);
        _exit(127);
    }
    close(ready[1]);
    char c;
    assert_int_equal(read(ready[0], &c, 1), 0); /* closed by the exec */
    close(ready[0]);
    return pid;
}

static void scan_reads_the_marker(void **state)
{
    (void)state;
    char *big = malloc(100000);
    assert_non_null(big);
    memset(big, 'x', 99999);
    memcpy(big, "BIG=", 4);
    big[99999] = 0;
    char *first[] = {"MARK=home:env/a", "OTHER=1", NULL};
    char *last[] = {"XMARK=no", "MARKER=no", "MARK2=no", "EMPTY=", big, "MARK=home:env/b c=d", NULL};
    char *none[] = {"XMARK=no", "OTHER=MARK=x", NULL};
    char *empty[] = {NULL};
    pid_t a = start_marked("one", first), b = start_marked("two\nlines", last), c = start_marked("three", none),
          d = start_marked("four", empty);
    struct procfs_table t;
    procfs_scan("MARK", NULL, 0, NULL, &t);
    assert_string_equal(procfs_table_find(&t, a)->marker, "home:env/a");
    assert_string_equal(procfs_table_find(&t, b)->marker, "home:env/b c=d");
    assert_null(procfs_table_find(&t, c)->marker);
    assert_null(procfs_table_find(&t, d)->marker);
    assert_int_equal(procfs_table_find(&t, b)->cmdline_len, sizeof "two\nlines\0001000");
    assert_memory_equal(procfs_table_find(&t, b)->cmdline, "two\nlines\0001000", sizeof "two\nlines\0001000");
    procfs_table_fini(&t);
    end_child(a);
    end_child(b);
    end_child(c);
    end_child(d);
    free(big);
}

static void scan_does_not_look_closely_at_the_known(void **state)
{
    (void)state;
    char *env[] = {"MARK=home:env/a", NULL};
    pid_t a = start_marked("one", env), b = start_marked("two", env), c = start_marked("three", env);
    struct procfs_stat st;
    assert_true(procfs_stat(b, &st));
    uint64_t ticks = st.start_ticks;
    assert_true(procfs_stat(c, &st));
    /* In no order; one that has the number of c, but is another; one that is gone. */
    struct procfs_known known[] = {{c, st.start_ticks + 1}, {b, ticks}, {1 << 30, 1}};
    struct procfs_table t;
    procfs_scan("MARK", known, ARRAY_LEN(known), NULL, &t);
    const struct procfs_entry *e = procfs_table_find(&t, b);
    assert_true(e->known);
    assert_null(e->marker);
    assert_null(e->cmdline);
    assert_int_equal(e->stat.start_ticks, ticks);
    assert_int_equal(e->stat.ppid, getpid());
    assert_int_equal(e->uid, geteuid());
    for (int i = 0; i < 2; i++) {
        e = procfs_table_find(&t, i ? c : a);
        assert_false(e->known);
        assert_string_equal(e->marker, "home:env/a");
        assert_non_null(e->cmdline);
        assert_non_null(e->exe);
        assert_non_null(e->cwd);
    }
    procfs_table_fini(&t);
    end_child(a);
    end_child(b);
    end_child(c);
}

static void scan_sees_zombies_as_such(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    await_zombie(pid);
    struct procfs_table t;
    procfs_scan("MARK", NULL, 0, NULL, &t);
    const struct procfs_entry *e = procfs_table_find(&t, pid);
    assert_non_null(e);
    assert_int_equal(e->stat.state, 'Z');
    assert_null(e->cmdline);
    assert_null(e->marker);
    procfs_table_fini(&t);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void go_on_as_a_child(unsigned after_us)
{
    usleep(after_us);
    if (fork())
        _exit(0);
}

/* A daemon in the making: while all are looked at one after the other, it is now this process, now its child. */
static void scan_is_not_outrun(void **state)
{
    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (unsigned i = 0; i < 60; i++) {
        pid_t group = fork();
        assert_true(group >= 0);
        if (group == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            setpgid(0, 0);
            go_on_as_a_child(i * 50);
            go_on_as_a_child(i % 7 * 50);
            for (;;)
                pause();
        }
        setpgid(group, group);
        struct procfs_table t;
        procfs_scan("MARK", NULL, 0, NULL, &t);
        size_t seen = 0;
        for (size_t k = 0; k < t.count; k++)
            seen += t.entries[k].stat.pgrp == group && t.entries[k].cmdline;
        procfs_table_fini(&t);
        while (kill(-group, SIGKILL) == 0 && waitpid(-group, NULL, 0) > 0)
            ;
        assert_true(seen > 0);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

/* Only so many descriptors more may be opened from now on; returns the limit there was. */
static struct rlimit leave_descriptors(unsigned count)
{
    struct rlimit old, low;
    int next = fcntl(STDERR_FILENO, F_DUPFD, 0);
    assert_true(next >= 0);
    close(next);
    getrlimit(RLIMIT_NOFILE, &old);
    low = (struct rlimit){(rlim_t)next + count, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    return old;
}

static void scan_tells_what_it_had_to_pass_over(void **state)
{
    (void)state;
    for (unsigned left = 0; left <= 2; left++) { /* the folder of all, and a file */
        struct procfs_table t;
        struct rlimit old = leave_descriptors(left);
        procfs_scan("MARK", NULL, 0, NULL, &t);
        setrlimit(RLIMIT_NOFILE, &old);
        assert_int_equal(t.error, left < 2 ? -EMFILE : 0);
        procfs_table_fini(&t);
    }
}

static void some_errors_go_by(void **state)
{
    (void)state;
    static const int passing[] = {EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR}, lasting[] = {0, ENOENT, EACCES, EPERM, ESRCH};
    for (size_t i = 0; i < ARRAY_LEN(passing); i++)
        assert_true(procfs_is_passing(passing[i]) && !procfs_is_passing(lasting[i]));
}

static void limits_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < (int)RLIM_NLIMITS; i++) {
        assert_non_null(procfs_limit_name(i));
        assert_string_not_equal(procfs_limit_name(i), "unknown limit");
    }
    assert_string_equal(procfs_limit_name(RLIMIT_NOFILE), "open files");
    assert_string_equal(procfs_limit_name(-1), "unknown limit");
    assert_string_equal(procfs_limit_name(1000), "unknown limit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_facts),
        cmocka_unit_test(start_time_is_on_our_clock),
        cmocka_unit_test(no_such_process),
        cmocka_unit_test(odd_names_do_not_confuse),
        cmocka_unit_test(zombies_show_their_status),
        cmocka_unit_test(a_process_without_its_first_thread_lives),
        cmocka_unit_test(sees_handlers),
        cmocka_unit_test(scan_finds_ourselves),
        cmocka_unit_test(scan_reads_the_marker),
        cmocka_unit_test(scan_does_not_look_closely_at_the_known),
        cmocka_unit_test(scan_sees_zombies_as_such),
        cmocka_unit_test(scan_is_not_outrun),
        cmocka_unit_test(scan_tells_what_it_had_to_pass_over),
        cmocka_unit_test(some_errors_go_by),
        cmocka_unit_test(limits_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
