/* A loop on which helpers are run, and what their `done` was told. */
#ifndef OS_EXEC_FIXTURE_H
#define OS_EXEC_FIXTURE_H

#include "exec.h"

#include "clock.h"
#include "proc.h"
#include "procfs.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#define LIMIT_MS 20000
#define GIVEN_SOFT_NOFILE 512
#define PLENTY (1 << 20)

static uv_loop_t loop;

/* What `done` was told. */
struct answer {
    int times;
    struct exec_result r;
    char *out, *err;
};

static inline int group_setup(void **state)
{
    (void)state;
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r))
        return -1;
    r.rlim_cur = GIVEN_SOFT_NOFILE;
    signal(SIGPIPE, SIG_IGN);
    return setrlimit(RLIMIT_NOFILE, &r) ? -1 : proc_init();
}

static inline int setup(void **state)
{
    (void)state;
    return uv_loop_init(&loop);
}

static inline int teardown(void **state)
{
    (void)state;
    exec_end_all();
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

static inline char *copy(const char *text, size_t len)
{
    char *s = malloc(len + 1);
    assert_non_null(s);
    memcpy(s, text, len + 1);
    assert_int_equal(s[len], 0);
    return s;
}

static inline void on_done(void *arg, const struct exec_result *r)
{
    struct answer *a = arg;
    a->times++;
    a->r = *r;
    a->out = copy(r->out, r->out_len);
    a->err = copy(r->err, r->err_len);
}

static inline void forget(struct answer *a)
{
    free(a->out);
    free(a->err);
    *a = (struct answer){0};
}

static inline void beat(uv_timer_t *timer)
{
    (void)timer;
}

/* Turns the loop until *times is `wanted`. */
static inline void turn_until(const int *times, int wanted)
{
    int64_t end = clock_mono_ms() + LIMIT_MS;
    uv_timer_t heart;
    uv_timer_init(&loop, &heart);
    uv_timer_start(&heart, beat, 0, 20);
    while (*times < wanted && clock_mono_ms() < end)
        uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&heart, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(*times, wanted);
}

static inline struct exec *begin(const struct exec_spec *spec, struct answer *a)
{
    struct err err = {0};
    struct exec *e = exec_start(&loop, spec, on_done, a, &err);
    if (!e)
        fail_msg("%s", err.text);
    assert_int_equal(a->times, 0);
    return e;
}

static inline void run(const struct exec_spec *spec, struct answer *a)
{
    *a = (struct answer){0};
    begin(spec, a);
    turn_until(&a->times, 1);
}

#define SHELL(script) ((char *const[]){"sh", "-c", script, NULL})

/* Runs a script that is well, and returns what it wrote; the caller frees it. */
static inline char *output_of(const struct exec_spec *spec)
{
    struct answer a;
    run(spec, &a);
    if (a.r.code != 0 || a.r.signal || a.r.truncated || a.r.timed_out || a.r.err_len)
        fail_msg("code %d, signal %d: %s", a.r.code, a.r.signal, a.err);
    free(a.err);
    return a.out;
}

static inline bool is_alive(pid_t pid)
{
    struct procfs_stat st;
    return procfs_stat(pid, &st) && st.state != 'Z' && st.state != 'X';
}

static inline void await_death(pid_t pid)
{
    for (int i = 0; i < LIMIT_MS && is_alive(pid); i++)
        poll(NULL, 0, 1);
    assert_false(is_alive(pid));
}

/* The first number in a file that somebody writes a line into. */
static inline pid_t await_number(const char *path)
{
    for (int i = 0; i < LIMIT_MS; i++) {
        char text[64] = "";
        FILE *f = fopen(path, "re");
        if (f && fgets(text, sizeof text, f) && strchr(text, '\n')) {
            fclose(f);
            return (pid_t)strtol(text, NULL, 10);
        }
        if (f)
            fclose(f);
        poll(NULL, 0, 1);
    }
    fail_msg("%s: no number", path);
    return 0;
}

static inline int count_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 1000; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
