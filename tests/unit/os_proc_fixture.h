/* Real processes, each with its console in a folder of the test. */
#ifndef OS_PROC_FIXTURE_H
#define OS_PROC_FIXTURE_H

#include "proc.h"
#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define GIVEN_SOFT_NOFILE 512
#define WAIT_MS 10000

static char dir[64], log_path[96], fifo_path[96];
static char output[65536];

/* The descriptor limit this program "was started with", before proc_init sees it. */
static inline int group_setup(void **state)
{
    (void)state;
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r))
        return -1;
    r.rlim_cur = GIVEN_SOFT_NOFILE;
    return setrlimit(RLIMIT_NOFILE, &r) ? -1 : proc_init();
}

static inline int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/proc_test.XXXXXX");
    if (!mkdtemp(dir) || chmod(dir, 0777))
        return -1;
    snprintf(log_path, sizeof log_path, "%s/log", dir);
    snprintf(fifo_path, sizeof fifo_path, "%s/fifo", dir);
    return mkfifo(fifo_path, 0600);
}

static inline int teardown(void **state)
{
    (void)state;
    unlink(log_path);
    unlink(fifo_path);
    return rmdir(dir);
}

static char *path_env[] = {"PATH=/usr/bin:/bin", NULL};

static inline struct proc_spec spec_of(char *const *argv)
{
    return (struct proc_spec){.exe = argv[0], .argv = argv, .envp = path_env, .dir = dir, .log_fd = -1, .umask = -1};
}

/* Starts it with its log at log_path. */
static inline int spawn(struct proc_spec *spec, struct proc *p, struct proc_fault *fault)
{
    spec->log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    assert_true(spec->log_fd >= 0);
    int r = proc_spawn(spec, p, fault);
    close(spec->log_fd);
    return r;
}

static inline void start(struct proc_spec *spec, struct proc *p)
{
    struct proc_fault fault;
    assert_int_equal(spawn(spec, p, &fault), 0);
    assert_true(p->pid > 0 && p->pidfd >= 0 && p->child && p->leader);
}

static inline void start_shell(const char *script, struct proc *p)
{
    char *argv[] = {"/bin/sh", "-c", (char *)(uintptr_t)script, "sh", NULL};
    argv[3] = fifo_path; /* $0 */
    struct proc_spec spec = spec_of(argv);
    start(&spec, p);
}

static inline void await_end(const struct proc *p)
{
    struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};
    assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
    assert_true(proc_has_ended(p));
}

static inline struct proc_exit finish(struct proc *p)
{
    struct proc_exit how;
    await_end(p);
    assert_true(proc_reap(p, true, &how));
    proc_close(p);
    assert_int_equal(p->pid, 0);
    assert_int_equal(p->pidfd, -1);
    return how;
}

static inline const char *read_log(void)
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
static inline const char *output_of(struct proc_spec *spec)
{
    struct proc p;
    start(spec, &p);
    struct proc_exit how = finish(&p);
    assert_true(how.known);
    assert_int_equal(how.code, 0);
    return read_log();
}

/* The first number a started process writes into its log: it waits until it has. */
static inline pid_t await_number(void)
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

static inline bool is_alive(pid_t pid)
{
    struct procfs_stat st;
    return procfs_stat(pid, &st) && st.state != 'Z' && st.state != 'X';
}

static inline void await_death(pid_t pid)
{
    for (int i = 0; i < WAIT_MS && is_alive(pid); i++)
        poll(NULL, 0, 1);
    assert_false(is_alive(pid));
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
