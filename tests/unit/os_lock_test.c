/* One monitor per env, and a dead one's lock. */
#include "os_proc_fixture.h"

#include "clock.h"
#include "lock.h"

#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#define NOT_ALLOWED 77 /* to be traced */

static char lock_path[96];

static int lock_setup(void **state)
{
    int r = setup(state);
    snprintf(lock_path, sizeof lock_path, "%s/lock", dir);
    return r;
}

static int lock_teardown(void **state)
{
    unlink(lock_path);
    return teardown(state);
}

/* Somebody else who holds the lock for so long (-1: until it is killed), with this pid in the file. */
static pid_t holder(pid_t pid, int ms)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open(lock_path, O_RDWR | O_CREAT | O_TRUNC, 0644);
        if (flock(fd, LOCK_EX | LOCK_NB) || dprintf(fd, "%d\n1.2.3.4:5\n", pid ? pid : getpid()) < 0 ||
            write(ready[1], "x", 1) != 1)
            _exit(1);
        poll(NULL, 0, ms);
        _exit(0);
    }
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static pid_t dead_pid(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return pid;
}

static void the_lock_of_a_living_monitor(void **state)
{
    (void)state;
    struct err err = {0};
    struct lock_info info;
    char said[200];
    pid_t pid = holder(0, -1);
    int64_t before = clock_mono_ms();
    assert_int_equal(lock_take(lock_path, &err), -1);
    assert_true(clock_mono_ms() - before < LOCK_PATIENCE_MS);
    snprintf(said, sizeof said, "another monitor runs for this env already: pid %d, port 1.2.3.4:5 (%s is locked)", pid,
             lock_path);
    assert_string_equal(err.text, said);
    assert_true(lock_read(lock_path, &info));
    assert_int_equal(info.pid, pid);
    end(pid);
    assert_false(lock_read(lock_path, &info));
    int fd = lock_take(lock_path, &err);
    assert_true(fd >= 0);
    assert_int_equal(lock_write(fd, "5.6.7.8:9"), 0);
    assert_true(lock_read(lock_path, &info));
    assert_int_equal(info.pid, getpid());
    assert_string_equal(info.address, "5.6.7.8:9");
    close(fd);
}

static void the_lock_of_a_dead_monitor_is_waited_for(void **state)
{
    (void)state;
    struct err err = {0};
    pid_t child = holder(dead_pid(), 100);
    int fd = lock_take(lock_path, &err);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(waitpid(child, NULL, 0), child);
    pid_t zombie = fork(); /* killed, and nobody has collected it yet */
    if (zombie == 0)
        _exit(0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT), 0);
    child = holder(zombie, 100);
    fd = lock_take(lock_path, &err);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(waitpid(zombie, NULL, 0), zombie);
}

/* Starts a process, its own tracer's to stop on the way. */
static _Noreturn void start_one(void)
{
    char *argv[] = {"/bin/sleep", "1000", NULL};
    struct proc_spec spec = spec_of(argv);
    struct proc p;
    struct proc_fault fault;
    struct err err = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = lock_take(lock_path, &err);
    if (fd < 0 || proc_keep(fd))
        _exit(1);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
        _exit(NOT_ALLOWED);
    raise(SIGSTOP);
    spec.log_fd = open(log_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    _exit(proc_spawn(&spec, &p, &fault) ? 2 : 0);
}

/* Lets the traced child go on to the next system call of that number, or to its exec. */
static void run_to(pid_t child, uint64_t number)
{
    struct __ptrace_syscall_info info = {0};
    int status;
    do {
        assert_int_equal(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, __WALL), child);
        assert_true(WIFSTOPPED(status));
        assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, child, (void *)sizeof info, &info) > 0);
    } while (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr != number);
}

static bool is_locked(void)
{
    int fd = open(lock_path, O_RDWR | O_CLOEXEC);
    bool locked = flock(fd, LOCK_EX | LOCK_NB) != 0;
    close(fd);
    return locked;
}

/* The monitor is killed when the process it is starting looks like the monitor itself yet. */
static void what_is_being_started_has_the_lock_until_it_can_be_told(void **state)
{
    (void)state;
    int status;
    unsigned long child;
    pid_t monitor = fork();
    if (monitor == 0)
        start_one();
    assert_int_equal(waitpid(monitor, &status, 0), monitor);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_ALLOWED)
        skip();
    assert_true(WIFSTOPPED(status));
    assert_int_equal(
        ptrace(PTRACE_SETOPTIONS, monitor, NULL,
               (void *)(PTRACE_O_EXITKILL | PTRACE_O_TRACEVFORK | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC)),
        0);
    assert_int_equal(ptrace(PTRACE_CONT, monitor, NULL, NULL), 0);
    assert_int_equal(waitpid(monitor, &status, 0), monitor);
    assert_int_equal(status >> 8, SIGTRAP | PTRACE_EVENT_VFORK << 8);
    assert_int_equal(ptrace(PTRACE_GETEVENTMSG, monitor, NULL, &child), 0);
    pid_t pid = (pid_t)child;
    assert_int_equal(waitpid(pid, &status, __WALL), pid);
    run_to(pid, SYS_execve);
    end(monitor);
    assert_true(is_locked());
    assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
    assert_int_equal(waitpid(pid, &status, __WALL), pid);
    assert_int_equal(status >> 8, SIGTRAP | PTRACE_EVENT_EXEC << 8);
    assert_false(is_locked());
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, __WALL), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_lock_of_a_living_monitor, lock_setup, lock_teardown),
        cmocka_unit_test_setup_teardown(the_lock_of_a_dead_monitor_is_waited_for, lock_setup, lock_teardown),
        cmocka_unit_test_setup_teardown(what_is_being_started_has_the_lock_until_it_can_be_told, lock_setup,
                                        lock_teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
