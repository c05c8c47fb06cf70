/* The real world on a loop: ends, timers and looks are told from the loop, and not after it was said to forget them. */
#include "world_linux.h"

#include "clock.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#define LIMIT_MS 10000

static uv_loop_t loop;
static struct world *w;
static char log_path[64];

static int setup(void **state)
{
    (void)state;
    int error;
    strcpy(log_path, "/tmp/world_test.XXXXXX");
    int fd = mkstemp(log_path);
    if (fd < 0 || close(fd) || proc_init() || uv_loop_init(&loop))
        return -1;
    w = world_linux_new(&loop, &error);
    return w ? 0 : -1;
}

/* Frees the world and runs what is left of it. */
static void end_world(void)
{
    if (w)
        world_linux_free(w);
    w = NULL;
    uv_run(&loop, UV_RUN_DEFAULT);
}

static int teardown(void **state)
{
    (void)state;
    end_world();
    unlink(log_path);
    return uv_loop_close(&loop);
}

static void beat(uv_timer_t *timer)
{
    (void)timer;
}

/* Turns the loop until *flag is set. */
static void run_until(const int *flag)
{
    int64_t end = clock_mono_ms() + LIMIT_MS;
    uv_timer_t heart; /* so that the loop turns even when nothing comes */
    uv_timer_init(&loop, &heart);
    uv_timer_start(&heart, beat, 0, 100);
    while (!*flag && clock_mono_ms() < end)
        uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&heart, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_true(*flag);
}

struct guard {
    struct timer timer;
    int fired;
    int64_t at_ms;
};

static void guard_fire(struct timer *t)
{
    struct guard *g = CONTAINER_OF(t, struct guard, timer);
    g->fired++;
    g->at_ms = clock_mono_ms();
}

static void timers_fire_from_the_loop(void **state)
{
    (void)state;
    struct guard late = {.timer.fire = guard_fire}, soon = {.timer.fire = guard_fire},
                 never = {.timer.fire = guard_fire};
    int64_t start = clock_mono_ms();
    world_timer_set(w, &late.timer, 60);
    world_timer_set(w, &never.timer, 40);
    world_timer_set(w, &soon.timer, 20);
    world_timer_clear(w, &never.timer);
    run_until(&late.fired);
    assert_int_equal(soon.fired, 1);
    assert_int_equal(late.fired, 1);
    assert_int_equal(never.fired, 0);
    assert_true(soon.at_ms - start >= 20 && late.at_ms - start >= 60 && soon.at_ms <= late.at_ms);
}

struct owner {
    struct world_watch watch;
    struct proc proc;
    struct proc_exit how;
    int told;
};

static void on_ended(struct world_watch *watch)
{
    struct owner *o = CONTAINER_OF(watch, struct owner, watch);
    if (!w->ops->reap(w, &o->proc, true, &o->how))
        return;
    o->told++;
    w->ops->release(w, &o->proc);
}

static void count_end(struct world_watch *watch)
{
    CONTAINER_OF(watch, struct owner, watch)->told++;
}

static void start(struct owner *o, const char *script)
{
    char *argv[] = {"/bin/sh", "-c", (char *)(uintptr_t)script, NULL}, *envp[] = {NULL};
    struct proc_spec spec = {.exe = argv[0], .argv = argv, .envp = envp, .dir = "/", .umask = -1};
    struct proc_fault fault;
    *o = (struct owner){.watch.ended = on_ended};
    int64_t before = w->ops->log_size(w, log_path);
    assert_int_equal(w->ops->spawn(w, &spec, log_path, &o->proc, &fault), 0);
    assert_int_equal(spec.log_at, before);
    assert_int_equal(w->ops->watch(w, &o->proc, &o->watch), 0);
}

static void ends_are_told_from_the_loop(void **state)
{
    (void)state;
    struct owner quick, killed, other;
    start(&quick, "echo one; echo two; exit 3");
    start(&killed, "sleep 1000");
    start(&other, "sleep 1000");
    run_until(&quick.told);
    assert_int_equal(quick.how.code, 3);
    char *tail = w->ops->tail(w, log_path, 1, 100);
    assert_string_equal(tail, "two\n");
    free(tail);
    assert_int_equal(killed.told, 0);
    assert_int_equal(w->ops->signal(w, &killed.proc, SIGKILL, PROC_GROUP), 0);
    run_until(&killed.told);
    assert_int_equal(killed.how.signal, SIGKILL);
    /* One that is let go of is nobody's concern any more. */
    struct proc copy = other.proc;
    pid_t pid = other.proc.pid;
    copy.pidfd = fcntl(copy.pidfd, F_DUPFD_CLOEXEC, 3);
    w->ops->release(w, &other.proc);
    assert_int_equal(proc_signal(&copy, SIGKILL, PROC_GROUP), 0);
    struct owner last;
    start(&last, "exit 0");
    run_until(&last.told);
    assert_int_equal(other.told, 0);
    struct proc_exit how;
    struct pollfd pfd = {.fd = copy.pidfd, .events = POLLIN};
    assert_int_equal(poll(&pfd, 1, LIMIT_MS), 1);
    assert_true(proc_reap(&copy, true, &how));
    assert_int_equal(copy.pid, pid);
    proc_close(&copy);
}

/* One that has ended may wait to be let go of: the loop does not turn in circles meanwhile. */
static void ends_are_told_once(void **state)
{
    (void)state;
    struct owner first, second;
    start(&first, "exit 0");
    first.watch.ended = count_end;
    run_until(&first.told);
    int turns = 0;
    start(&second, "sleep 0.2");
    while (!second.told && turns < 100) {
        uv_run(&loop, UV_RUN_ONCE);
        turns++;
    }
    assert_int_equal(second.told, 1);
    assert_true(turns < 20);
    assert_int_equal(first.told, 1);
    assert_true(w->ops->reap(w, &first.proc, true, &first.how));
    w->ops->release(w, &first.proc);
}

static void a_log_that_cannot_be_opened_is_a_failed_start(void **state)
{
    (void)state;
    char *argv[] = {"/bin/true", NULL}, *envp[] = {NULL};
    struct proc_spec spec = {.exe = argv[0], .argv = argv, .envp = envp, .dir = "/", .umask = -1};
    struct proc_fault fault;
    struct proc p;
    assert_true(w->ops->spawn(w, &spec, "/nonexistent/log", &p, &fault) < 0);
    assert_int_equal(fault.stage, PROC_STAGE_LOG);
    assert_int_equal(p.pidfd, -1);
}

struct look {
    int told;
    bool found;
};

static void on_scan(void *arg, const struct procfs_table *table)
{
    struct look *l = arg;
    l->told++;
    l->found = procfs_table_find(table, getpid());
}

static void looks_are_told_later(void **state)
{
    (void)state;
    struct look one = {0}, two = {0}, gone = {0};
    assert_int_equal(w->ops->scan(w, NULL, 0, on_scan, &one), 0);
    assert_int_equal(w->ops->scan(w, NULL, 0, on_scan, &gone), 0);
    assert_int_equal(w->ops->scan(w, NULL, 0, on_scan, &two), 0);
    assert_int_equal(one.told, 0);
    w->ops->unscan(w, &gone);
    run_until(&one.told);
    run_until(&two.told);
    assert_true(one.found && two.found);
    struct look last = {0};
    assert_int_equal(w->ops->scan(w, NULL, 0, on_scan, &last), 0);
    run_until(&last.told);
    assert_int_equal(one.told, 1);
    assert_int_equal(two.told, 1);
    assert_int_equal(gone.told, 0);
}

static void the_world_may_end_during_a_look(void **state)
{
    (void)state;
    struct look looks[20] = {0};
    for (size_t i = 0; i < ARRAY_LEN(looks); i++)
        assert_int_equal(w->ops->scan(w, NULL, 0, on_scan, &looks[i]), 0);
    end_world();
    for (size_t i = 0; i < ARRAY_LEN(looks); i++)
        assert_int_equal(looks[i].told, 0);
}

struct task {
    struct world_work work;
    pthread_t thread;
    int ran, done, policy;
    bool wanted;
};

static void run_task(struct world_work *k)
{
    struct task *t = CONTAINER_OF(k, struct task, work);
    t->thread = pthread_self();
    t->policy = sched_getscheduler(0);
    t->ran++;
}

static void task_done(struct world_work *k, bool wanted)
{
    struct task *t = CONTAINER_OF(k, struct task, work);
    t->wanted = wanted;
    t->done++;
}

static void begin_task(struct task *t, const void *owner)
{
    *t = (struct task){.work = {.run = run_task, .done = task_done, .owner = owner}};
    assert_int_equal(w->ops->work(w, &t->work), 0);
}

static void work_is_done_in_another_thread_and_told_on_the_loop(void **state)
{
    (void)state;
    struct task t = {0}, gone = {0};
    begin_task(&t, &t);
    begin_task(&gone, &gone);
    w->ops->unwork(w, &gone);
    assert_int_equal(t.done, 0);
    run_until(&t.done);
    run_until(&gone.done);
    assert_true(t.wanted && t.ran == 1 && t.done == 1);
    assert_false(pthread_equal(t.thread, pthread_self()));
    assert_false(gone.wanted);
}

/* Whoever is woken to do it must not take the loop's processor away. */
static void work_does_not_push_the_loop_aside(void **state)
{
    (void)state;
    struct task t = {0};
    if (sched_getscheduler(0) != SCHED_OTHER)
        skip();
    begin_task(&t, &t);
    run_until(&t.done);
    assert_int_equal(t.policy, SCHED_BATCH);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

static atomic_bool let_go;

static void run_held(struct world_work *k)
{
    (void)k;
    while (!atomic_load(&let_go))
        poll(NULL, 0, 1);
}

/* Also when nobody wants it any more: its thread is there all the same. */
static void work_that_does_not_end_is_known_of(void **state)
{
    (void)state;
    struct task t = {.work = {.run = run_held, .done = task_done, .owner = &t}};
    assert_int_equal(world_linux_busy_ms(w), 0);
    assert_int_equal(w->ops->work(w, &t.work), 0);
    poll(NULL, 0, 20);
    w->ops->unwork(w, &t);
    assert_true(world_linux_busy_ms(w) >= 20);
    atomic_store(&let_go, true);
    run_until(&t.done);
    assert_int_equal(world_linux_busy_ms(w), 0);
}

/* Whatever was asked for comes back, so that its memory can be freed. */
static void work_comes_back_when_the_world_ends(void **state)
{
    (void)state;
    struct task tasks[20];
    for (size_t i = 0; i < ARRAY_LEN(tasks); i++)
        begin_task(&tasks[i], NULL);
    end_world();
    for (size_t i = 0; i < ARRAY_LEN(tasks); i++)
        assert_true(tasks[i].done == 1 && !tasks[i].wanted);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_fire_from_the_loop),
        TEST(ends_are_told_from_the_loop),
        TEST(ends_are_told_once),
        TEST(a_log_that_cannot_be_opened_is_a_failed_start),
        TEST(looks_are_told_later),
        TEST(the_world_may_end_during_a_look),
        TEST(work_is_done_in_another_thread_and_told_on_the_loop),
        TEST(work_does_not_push_the_loop_aside),
        TEST(work_that_does_not_end_is_known_of),
        TEST(work_comes_back_when_the_world_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
