/* Helper processes: what they are given, what is gathered, how they end. */
#include "os_exec_fixture.h"
#include "world_linux.h"

#include <errno.h>
#include <sys/wait.h>

/* ---- what comes back ---- */

static void both_outputs_and_the_code_are_told(void **state)
{
    (void)state;
    struct answer a;
    struct exec_spec spec = {.argv = SHELL("echo one; echo two >&2; printf 'a\\0b'; exit 3"), .max_output = PLENTY};
    run(&spec, &a);
    assert_int_equal(a.r.code, 3);
    assert_int_equal(a.r.signal, 0);
    assert_false(a.r.timed_out || a.r.truncated);
    assert_int_equal(a.r.out_len, 7);
    assert_memory_equal(a.out, "one\na\0b", 8);
    assert_string_equal(a.err, "two\n");
    forget(&a);
}

static void a_signal_is_told(void **state)
{
    (void)state;
    struct answer a;
    struct exec_spec spec = {.argv = SHELL("kill -USR1 $$"), .max_output = PLENTY};
    run(&spec, &a);
    assert_int_equal(a.r.signal, SIGUSR1);
    assert_int_equal(a.r.code, -1);
    assert_false(a.r.timed_out);
    forget(&a);
}

static void output_is_cut_and_read_on(void **state)
{
    (void)state;
    struct answer a;
    struct exec_spec spec = {.argv = SHELL("head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2"), .max_output = 1000};
    run(&spec, &a);
    assert_int_equal(a.r.code, 0);
    assert_true(a.r.truncated);
    assert_int_equal(a.r.out_len, 1000);
    assert_int_equal(strspn(a.out, "x"), 1000);
    assert_string_equal(a.err, "end\n");
    forget(&a);
    /* Just as much as there is room for is not cut. */
    spec.argv = SHELL("head -c 1000 /dev/zero | tr '\\0' x");
    run(&spec, &a);
    assert_false(a.r.truncated);
    assert_int_equal(a.r.out_len, 1000);
    forget(&a);
    spec.argv = SHELL("head -c 1001 /dev/zero | tr '\\0' x >&2");
    run(&spec, &a);
    assert_true(a.r.truncated);
    assert_int_equal(a.r.err_len, 1000);
    forget(&a);
}

static void both_outputs_can_be_opened_again(void **state)
{
    (void)state;
    struct exec_spec spec = {.argv = SHELL("echo here > /dev/stdout; : > /dev/stderr"), .max_output = PLENTY};
    char *out = output_of(&spec);
    assert_string_equal(out, "here\n");
    free(out);
}

/* ---- what it is given ---- */

static void input_goes_in_and_ends(void **state)
{
    (void)state;
    size_t len = 500000;
    char *input = malloc(len);
    assert_non_null(input);
    for (size_t i = 0; i < len; i++)
        input[i] = (char)(i % 251);
    struct answer a;
    struct exec_spec spec = {.argv = SHELL("cat"), .input = input, .input_len = len, .max_output = PLENTY};
    run(&spec, &a);
    assert_int_equal(a.r.code, 0);
    assert_int_equal(a.r.out_len, len);
    assert_memory_equal(a.out, input, len);
    forget(&a);
    /* Nobody reads it. */
    spec.argv = SHELL("exec 0<&-; echo ok");
    run(&spec, &a);
    assert_int_equal(a.r.code, 0);
    assert_string_equal(a.out, "ok\n");
    forget(&a);
    free(input);
}

static void without_input_it_reads_nothing(void **state)
{
    (void)state;
    struct exec_spec spec = {.argv = SHELL("readlink /proc/self/fd/0; cat"), .max_output = PLENTY};
    char *out = output_of(&spec);
    assert_string_equal(out, "/dev/null\n");
    free(out);
}

static void arguments_and_folder_are_taken_as_they_are(void **state)
{
    (void)state;
    char *const argv[] = {"printf", "<%s>", "a b", "", "$HOME", "*", NULL};
    struct exec_spec spec = {.argv = argv, .dir = "/", .max_output = PLENTY};
    char *out = output_of(&spec);
    assert_string_equal(out, "<a b><><$HOME><*>");
    free(out);
    spec = (struct exec_spec){.argv = (char *const[]){"pwd", NULL}, .dir = "/proc", .max_output = PLENTY};
    out = output_of(&spec);
    assert_string_equal(out, "/proc\n");
    free(out);
}

static void the_environment_is_ours_without_what_is_the_monitors(void **state)
{
    (void)state;
    static const char *const own[] = {"FOTA_MONITOR_SERVICE", "FOTA_MONITOR_HOME", "NOTIFY_SOCKET", "WATCHDOG_USEC",
                                      "WATCHDOG_PID",         "LISTEN_FDS",        "LISTEN_PID",    "LISTEN_FDNAMES"};
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        setenv(own[i], "mine", 1);
    setenv("EXEC_TEST", "yours", 1);
    setenv("NOTIFY_SOCKETS", "yours", 1);
    setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1); /* what the monitor is started with */
    struct exec_spec spec = {.argv = (char *const[]){"env", NULL}, .max_output = PLENTY};
    char *out = output_of(&spec);
    assert_non_null(strstr(out, "EXEC_TEST=yours\n"));
    assert_non_null(strstr(out, "NOTIFY_SOCKETS=yours\n"));
    assert_non_null(strstr(out, "PATH="));
    assert_null(strstr(out, "=mine"));
    assert_null(strstr(out, "GLIBC_TUNABLES"));
    free(out);
    setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=1", 1);
    out = output_of(&spec);
    assert_non_null(strstr(out, "GLIBC_TUNABLES=glibc.malloc.tcache_count=1\n"));
    free(out);
    unsetenv("GLIBC_TUNABLES");
    spec.env = (char *const[]){"A=1", "FOTA_MONITOR_X=2", NULL};
    spec.argv = (char *const[]){"/usr/bin/env", NULL};
    out = output_of(&spec);
    assert_string_equal(out, "A=1\nFOTA_MONITOR_X=2\n");
    free(out);
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        unsetenv(own[i]);
}

static void signals_are_at_their_default(void **state)
{
    (void)state;
    sigset_t mask, old;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_BLOCK, &mask, &old);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    struct exec_spec spec = {.argv = (char *const[]){"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL},
                             .max_output = PLENTY};
    char *out = output_of(&spec);
    sigprocmask(SIG_SETMASK, &old, NULL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    assert_string_equal(out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    free(out);
}

static void no_descriptor_of_ours_gets_there(void **state)
{
    (void)state;
    int leaky = open("/etc/passwd", O_RDONLY), high = fcntl(leaky, F_DUPFD, 300);
    assert_true(leaky >= 0 && high >= 300);
    char *input = "x";
    struct exec_spec spec = {.argv = SHELL("ls /proc/$$/fd; readlink /proc/$$/fd/0 | cut -c 1-5; ulimit -n"),
                             .input = input,
                             .input_len = 1,
                             .max_output = PLENTY};
    char *out = output_of(&spec);
    close(leaky);
    close(high);
    assert_string_equal(out, "0\n1\n2\npipe:\n512\n");
    free(out);
}

static void it_leads_a_session_of_its_own(void **state)
{
    (void)state;
    struct exec_spec spec = {.argv = SHELL("echo $$; cut -d' ' -f5,6 /proc/$$/stat"), .max_output = PLENTY};
    char *out = output_of(&spec), *rest;
    long pid = strtol(out, &rest, 10), group = strtol(rest, &rest, 10), session = strtol(rest, &rest, 10);
    assert_true(pid > 0);
    assert_int_equal(group, pid);
    assert_int_equal(session, pid);
    free(out);
}

/* ---- how it ends ---- */

static void the_whole_group_is_ended_in_time(void **state)
{
    (void)state;
    struct answer a;
    struct exec_spec spec = {.argv = SHELL("sleep 1000 & echo $!; wait"), .timeout_ms = 100, .max_output = PLENTY};
    int64_t start = clock_mono_ms();
    run(&spec, &a);
    assert_true(a.r.timed_out);
    assert_int_equal(a.r.signal, SIGTERM);
    assert_true(clock_mono_ms() - start >= 100);
    await_death((pid_t)strtol(a.out, NULL, 10));
    forget(&a);
}

static void who_will_not_go_is_killed(void **state)
{
    (void)state;
    struct answer a;
    struct exec_spec spec = {
        .argv = SHELL("trap '' TERM; sleep 1000 & echo $!; wait"), .timeout_ms = 100, .max_output = PLENTY};
    run(&spec, &a);
    assert_true(a.r.timed_out);
    assert_int_equal(a.r.signal, SIGKILL);
    await_death((pid_t)strtol(a.out, NULL, 10));
    forget(&a);
    /* The leader goes, its child would not, and holds the output open. */
    spec.argv = SHELL("(trap '' TERM; sleep 1000) & echo $!; trap 'exit 9' TERM; wait");
    run(&spec, &a);
    assert_true(a.r.timed_out);
    assert_int_equal(a.r.code, 9);
    await_death((pid_t)strtol(a.out, NULL, 10));
    forget(&a);
}

static void what_it_leaves_behind_is_not_waited_for(void **state)
{
    (void)state;
    struct answer a;
    struct exec_spec spec = {.argv = SHELL("sleep 1000 & echo $!"), .timeout_ms = LIMIT_MS, .max_output = PLENTY};
    int64_t start = clock_mono_ms();
    run(&spec, &a);
    assert_true(clock_mono_ms() - start < LIMIT_MS / 2);
    assert_int_equal(a.r.code, 0);
    assert_false(a.r.timed_out);
    pid_t left = (pid_t)strtol(a.out, NULL, 10);
    assert_true(is_alive(left)); /* it may have been meant to stay */
    kill(left, SIGKILL);
    forget(&a);
}

static void all_is_read_even_when_the_loop_was_held_up(void **state)
{
    (void)state;
    struct answer a = {0};
    struct exec_spec spec = {.argv = SHELL("head -c 60000 /dev/zero; sleep 1000 & echo $! >&2"), .max_output = PLENTY};
    begin(&spec, &a);
    for (int i = 0; i < 3; i++) {
        poll(NULL, 0, 300); /* longer than the grace */
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    turn_until(&a.times, 1);
    assert_int_equal(a.r.out_len, 60000);
    kill((pid_t)strtol(a.err, NULL, 10), SIGKILL);
    forget(&a);
}

static void a_cancelled_one_is_killed_and_silent(void **state)
{
    (void)state;
    char path[] = "/tmp/exec_test.XXXXXX", script[128];
    int fd = mkstemp(path), before = count_fds();
    assert_true(fd >= 0);
    snprintf(script, sizeof script, "sleep 1000 & echo $! > %s; wait", path);
    struct answer a = {0};
    struct exec_spec spec = {.argv = SHELL(script), .max_output = PLENTY};
    struct exec *e = begin(&spec, &a);
    pid_t child = await_number(path);
    exec_cancel(e);
    await_death(child);
    /* One that has ended already, but whose output is still held open. */
    snprintf(script, sizeof script, "sleep 1000 & echo $! > %s", path);
    assert_int_equal(ftruncate(fd, 0), 0);
    e = begin(&spec, &a);
    child = await_number(path);
    struct procfs_stat st;
    assert_true(procfs_stat(child, &st));
    pid_t helper = st.pgrp;
    for (int i = 0; i < LIMIT_MS && procfs_stat(helper, &st); i++) {
        poll(NULL, 0, 1);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    exec_cancel(e);
    assert_true(is_alive(child));
    kill(child, SIGKILL);
    uv_run(&loop, UV_RUN_DEFAULT); /* ends only when nothing is left */
    assert_int_equal(a.times, 0);
    assert_true(count_fds() <= before + 3); /* libuv keeps its signal pipe */
    close(fd);
    unlink(path);
}

static void all_are_collected_at_the_end(void **state)
{
    (void)state;
    struct answer a = {0};
    struct exec_spec spec = {.argv = SHELL("trap '' TERM; sleep 1000"), .max_output = PLENTY};
    for (int i = 0; i < 5; i++)
        begin(&spec, &a);
    exec_end_all();
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(a.times, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* ---- what can't be started ---- */

static void why_it_does_not_start_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *name, *dir, *text;
    } cases[] = {
        {NULL, NULL, "there is no program to run"},
        {"", NULL, "there is no program to run"},
        {"no_such_program", NULL, "no_such_program: there is no such program in PATH"},
        {"/no/such/program", NULL, "/no/such/program: No such file or directory"},
        {"/etc/passwd", NULL, "/etc/passwd: Permission denied"},
        {"true", "/no/such/folder", "chdir /no/such/folder: No such file or directory"},
        {"true", "/etc/passwd", "chdir /etc/passwd: Not a directory"},
    };
    int before = 0;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            char *argv[] = {(char *)(uintptr_t)cases[i].name, NULL};
            struct answer a = {0};
            struct err err = {0};
            struct exec_spec spec = {.argv = argv,
                                     .dir = cases[i].dir,
                                     .input = "x",
                                     .input_len = 1,
                                     .timeout_ms = 10,
                                     .max_output = PLENTY};
            assert_null(exec_start(&loop, &spec, on_done, &a, &err));
            assert_string_equal(err.text, cases[i].text);
            uv_run(&loop, UV_RUN_DEFAULT);
            assert_int_equal(a.times, 0);
        }
        assert_true(round == 0 || count_fds() == before);
        before = count_fds();
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void no_descriptor_left_is_an_error(void **state)
{
    (void)state;
    struct answer a = {0};
    struct err err = {0};
    struct exec_spec spec = {.argv = SHELL("exit 0"), .input = "x", .input_len = 1, .max_output = PLENTY};
    run(&spec, &a); /* what libuv makes once is made */
    forget(&a);
    struct rlimit old, few;
    getrlimit(RLIMIT_NOFILE, &old);
    int next = dup(0);
    close(next);
    /* However many are left, it is either done or said not to be. */
    int failed = 0;
    for (int more = 0; more < 10; more++) {
        few = (struct rlimit){(rlim_t)(next + more), old.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        struct exec *e = exec_start(&loop, &spec, on_done, &a, &err);
        setrlimit(RLIMIT_NOFILE, &old);
        if (e) {
            turn_until(&a.times, 1);
            assert_int_equal(a.r.code, 0);
            forget(&a);
        } else {
            assert_string_equal(err.text, "sh: Too many open files");
            failed++;
        }
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    assert_in_range(failed, 5, 9);
}

/* ---- together with services ---- */

struct service {
    struct world_watch watch;
    struct proc p;
    struct proc_exit how;
    struct world *world;
    int *ended;
};

static void on_service_end(struct world_watch *watch)
{
    struct service *s = CONTAINER_OF(watch, struct service, watch);
    if (s->p.pid && s->world->ops->reap(s->world, &s->p, true, &s->how)) {
        s->world->ops->release(s->world, &s->p);
        ++*s->ended;
    }
}

static void services_and_helpers_end_side_by_side(void **state)
{
    (void)state;
    enum { EACH = 20 };
    struct service services[EACH] = {0};
    struct answer answers[EACH] = {0};
    int error, ended = 0;
    char path[] = "/tmp/exec_test.XXXXXX";
    close(mkstemp(path));
    struct world *w = world_linux_new(&loop, &error);
    assert_non_null(w);
    for (int i = 0; i < EACH; i++) {
        char script[32];
        snprintf(script, sizeof script, "exit %d", 100 + i);
        char *argv[] = {"/bin/sh", "-c", script, NULL}, *env[] = {NULL};
        struct proc_spec spec = {.exe = "/bin/sh", .argv = argv, .envp = env, .dir = "/", .umask = -1};
        struct proc_fault fault;
        struct service *s = &services[i];
        *s = (struct service){.watch.ended = on_service_end, .world = w, .ended = &ended};
        assert_int_equal(w->ops->spawn(w, &spec, path, &s->p, &fault), 0);
        assert_int_equal(w->ops->watch(w, &s->p, &s->watch), 0);
        snprintf(script, sizeof script, "echo %d; exit %d", i, i);
        struct exec_spec helper = {.argv = argv, .max_output = PLENTY};
        begin(&helper, &answers[i]);
    }
    turn_until(&ended, EACH);
    for (int i = 0; i < EACH; i++) {
        turn_until(&answers[i].times, 1);
        assert_true(services[i].how.known);
        assert_int_equal(services[i].how.code, 100 + i);
        assert_int_equal(answers[i].r.code, i);
        assert_int_equal(strtol(answers[i].out, NULL, 10), i);
        forget(&answers[i]);
    }
    world_linux_free(w);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_outputs_and_the_code_are_told),
        TEST(a_signal_is_told),
        TEST(output_is_cut_and_read_on),
        TEST(both_outputs_can_be_opened_again),
        TEST(input_goes_in_and_ends),
        TEST(without_input_it_reads_nothing),
        TEST(arguments_and_folder_are_taken_as_they_are),
        TEST(the_environment_is_ours_without_what_is_the_monitors),
        TEST(signals_are_at_their_default),
        TEST(no_descriptor_of_ours_gets_there),
        TEST(it_leads_a_session_of_its_own),
        TEST(the_whole_group_is_ended_in_time),
        TEST(who_will_not_go_is_killed),
        TEST(what_it_leaves_behind_is_not_waited_for),
        TEST(all_is_read_even_when_the_loop_was_held_up),
        TEST(a_cancelled_one_is_killed_and_silent),
        TEST(all_are_collected_at_the_end),
        TEST(why_it_does_not_start_is_told),
        TEST(no_descriptor_left_is_an_error),
        TEST(services_and_helpers_end_side_by_side),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
