/* The simulated world keeps to what it promises: time, order, processes that end as real ones do. */
#include "world_sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define START_MS 1000000
#define WALL_MS 1767225600000

static struct world *w;

static int setup(void **state)
{
    (void)state;
    w = world_sim_new(START_MS, WALL_MS);
    return w ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    world_sim_free(w);
    return 0;
}

static int64_t now(void)
{
    return w->ops->mono_ms(w);
}

static void behave(struct world_sim_behaviour b)
{
    assert_int_equal(world_sim_behave(w, "s", &b), 0);
}

static int spawn(struct proc *p)
{
    char *argv[] = {"/srv/s", "-x", NULL}, *envp[] = {"A=1", WORLD_MARKER "=home:env/s", NULL};
    struct proc_spec spec = {.exe = argv[0], .argv = argv, .envp = envp, .dir = "/srv", .umask = -1};
    struct proc_fault fault;
    int r = w->ops->spawn(w, &spec, "/srv/log", p, &fault);
    assert_int_equal(fault.error, -r);
    return r;
}

/* A watch that collects the process, as its owner would. */
struct owner {
    struct world_watch watch;
    struct proc proc;
    struct proc_exit how;
    int told;
    int64_t told_ms;
};

static void on_ended(struct world_watch *watch)
{
    struct owner *o = CONTAINER_OF(watch, struct owner, watch);
    o->told++;
    o->told_ms = now();
    assert_true(w->ops->reap(w, &o->proc, true, &o->how));
    w->ops->release(w, &o->proc);
}

static void start(struct owner *o)
{
    *o = (struct owner){.watch.ended = on_ended};
    assert_int_equal(spawn(&o->proc), 0);
    assert_true(o->proc.child && o->proc.leader && o->proc.pid >= WORLD_SIM_FIRST_PID);
    assert_int_equal(w->ops->watch(w, &o->proc, &o->watch), 0);
}

/* ---- time */

static char order[64];

struct alarm {
    struct timer timer;
    char name;
    int64_t due_ms, again_ms;
};

static void ring(struct timer *t)
{
    struct alarm *a = CONTAINER_OF(t, struct alarm, timer);
    size_t n = strlen(order);
    if (n + 1 < sizeof order) {
        order[n] = a->name;
        order[n + 1] = 0;
    }
    if (a->due_ms)
        assert_int_equal(now(), a->due_ms);
    if (a->again_ms >= 0)
        world_timer_set(w, t, a->again_ms);
}

static void timers_fire_at_their_own_time(void **state)
{
    (void)state;
    struct alarm a = {.timer.fire = ring, .name = 'a', .due_ms = START_MS + 50, .again_ms = -1},
                 b = {.timer.fire = ring, .name = 'b', .due_ms = START_MS + 20, .again_ms = -1},
                 c = {.timer.fire = ring, .name = 'c', .due_ms = START_MS + 51, .again_ms = -1};
    order[0] = 0;
    assert_int_equal(world_sim_next_ms(w), -1);
    world_timer_set(w, &a.timer, 50);
    world_timer_set(w, &b.timer, 20);
    world_timer_set(w, &c.timer, 51);
    assert_int_equal(world_sim_next_ms(w), 20);
    world_sim_advance(w, 0);
    assert_string_equal(order, "");
    world_sim_advance(w, 50);
    assert_string_equal(order, "ba");
    assert_int_equal(now(), START_MS + 50);
    world_sim_advance(w, 1);
    assert_string_equal(order, "bac");
    assert_int_equal(w->ops->wall_ms(w), WALL_MS + 51);
}

static void the_wall_clock_is_another_one(void **state)
{
    (void)state;
    world_sim_advance(w, 100);
    world_sim_set_wall(w, 5000);
    assert_int_equal(w->ops->wall_ms(w), 5000);
    assert_int_equal(now(), START_MS + 100);
    world_sim_advance(w, 10);
    assert_int_equal(w->ops->wall_ms(w), 5010);
}

static void nothing_can_stop_time(void **state)
{
    (void)state;
    struct alarm a = {.timer.fire = ring, .name = 'a', .again_ms = 0};
    order[0] = 0;
    world_timer_set(w, &a.timer, 0);
    world_sim_advance(w, 5);
    assert_in_range(now(), START_MS + 5, START_MS + 7);
    world_timer_clear(w, &a.timer);
}

static void a_slow_start_takes_time(void **state)
{
    (void)state;
    struct alarm a = {.timer.fire = ring, .name = 'a', .again_ms = -1};
    struct owner o;
    order[0] = 0;
    world_timer_set(w, &a.timer, 5);
    behave((struct world_sim_behaviour){.spawn_ms = 20});
    start(&o);
    assert_int_equal(now(), START_MS + 20);
    world_sim_advance(w, 0);
    assert_string_equal(order, "a"); /* overdue by now */
    w->ops->release(w, &o.proc);
}

/* ---- processes */

static void an_end_is_told_from_the_next_advance(void **state)
{
    (void)state;
    struct owner o;
    start(&o);
    struct proc_exit how;
    assert_false(w->ops->reap(w, &o.proc, true, &how));
    assert_true(world_sim_exit(w, o.proc.pid, 3));
    assert_int_equal(o.told, 0);
    assert_int_equal(world_sim_next_ms(w), 0);
    world_sim_advance(w, 0);
    assert_int_equal(o.told, 1);
    assert_true(o.how.known);
    assert_int_equal(o.how.code, 3);
    world_sim_advance(w, 1000);
    assert_int_equal(o.told, 1);
    assert_int_equal(world_sim_count(w, NULL, false), 0);
    assert_false(world_sim_exit(w, o.proc.pid, 3));
}

static void it_dies_when_it_is_meant_to(void **state)
{
    (void)state;
    struct owner o;
    behave((struct world_sim_behaviour){.starts = 1, .dies = true, .life_ms = 250, .signal = SIGSEGV, .core = true});
    start(&o);
    world_sim_advance(w, 249);
    assert_int_equal(o.told, 0);
    world_sim_advance(w, 1000);
    assert_int_equal(o.told_ms, START_MS + 250);
    assert_int_equal(o.how.signal, SIGSEGV);
    assert_int_equal(o.how.code, -1);
    assert_true(o.how.core);
    start(&o); /* the second start is a plain one */
    world_sim_advance(w, 100000);
    assert_int_equal(o.told, 0);
    assert_int_equal(world_sim_spawns(w), 2);
    w->ops->release(w, &o.proc);
}

static void a_life_of_no_length_is_told_all_the_same(void **state)
{
    (void)state;
    struct owner o;
    behave((struct world_sim_behaviour){.dies = true, .code = 9});
    start(&o);
    assert_int_equal(o.told, 0);
    world_sim_advance(w, 0);
    assert_int_equal(o.told, 1);
    assert_int_equal(o.how.code, 9);
}

static void a_start_can_fail(void **state)
{
    (void)state;
    struct proc p;
    behave((struct world_sim_behaviour){.starts = 1, .spawn_error = EAGAIN, .spawn_stage = PROC_STAGE_FORK});
    assert_int_equal(spawn(&p), -EAGAIN);
    assert_int_equal(p.pidfd, -1);
    assert_int_equal(world_sim_spawns(w), 0);
    assert_int_equal(spawn(&p), 0);
    w->ops->release(w, &p);
}

static void signals(void **state)
{
    (void)state;
    struct owner o;
    behave((struct world_sim_behaviour){
        .ignores = WORLD_SIM_BIT(SIGINT),
        .reactions = {{.signal = SIGUSR1}, {.signal = SIGTERM, .exits = true, .after_ms = 30, .code = 4}}});
    start(&o);
    pid_t pid = o.proc.pid;
    assert_true(w->ops->catches(w, &o.proc, SIGTERM));
    assert_true(w->ops->catches(w, &o.proc, SIGUSR1));
    assert_false(w->ops->catches(w, &o.proc, SIGINT));
    static const int harmless[] = {SIGHUP, SIGINT, SIGUSR1, SIGCHLD, SIGCONT, SIGSTOP};
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
        assert_int_equal(w->ops->signal(w, &o.proc, harmless[i], PROC_ONE), 0);
    assert_int_equal(w->ops->signal(w, &o.proc, 0, PROC_ONE), 0);
    world_sim_advance(w, 100);
    assert_int_equal(o.told, 0);
    w->ops->signal(w, &o.proc, SIGTERM, PROC_GROUP);
    world_sim_advance(w, 29);
    assert_int_equal(o.told, 0);
    world_sim_advance(w, 1);
    assert_int_equal(o.how.code, 4);
    size_t count;
    const struct world_sim_signal *log = world_sim_signals(w, &count);
    assert_int_equal(count, ARRAY_LEN(harmless) + 1); /* a probe is no signal */
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
        assert_int_equal(log[i].signal, harmless[i]);
    assert_int_equal(log[count - 1].pid, pid);
    assert_int_equal(log[count - 1].scope, PROC_GROUP);
    assert_int_equal(log[count - 1].mono_ms, START_MS + 100);
    world_sim_forget_signals(w);
    world_sim_signals(w, &count);
    assert_int_equal(count, 0);
    assert_int_equal(w->ops->signal(w, &o.proc, SIGTERM, PROC_ONE), -ESRCH); /* let go of */
}

static void sigkill_comes_before_a_slow_end(void **state)
{
    (void)state;
    struct owner o;
    behave((struct world_sim_behaviour){.reactions = {{.signal = SIGTERM, .exits = true, .after_ms = 5000}}});
    start(&o);
    w->ops->signal(w, &o.proc, SIGTERM, PROC_ONE);
    world_sim_advance(w, 100);
    w->ops->signal(w, &o.proc, SIGKILL, PROC_ONE);
    world_sim_advance(w, 0);
    assert_int_equal(o.how.signal, SIGKILL);
    world_sim_advance(w, 10000);
    assert_int_equal(o.told, 1);
}

static void children_stay_behind(void **state)
{
    (void)state;
    struct owner o;
    behave((struct world_sim_behaviour){.children = 3});
    start(&o);
    assert_int_equal(world_sim_count(w, "s", false), 4);
    assert_int_equal(world_sim_count(w, "s", true), 1);
    pid_t pid = o.proc.pid;
    const struct procfs_entry *child = world_sim_find_pid(w, pid + 1);
    assert_int_equal(child->stat.ppid, pid);
    assert_int_equal(child->stat.session, pid);
    world_sim_exit(w, pid, 0);
    assert_int_equal(child->stat.ppid, 1);
    assert_int_equal(world_sim_count(w, "s", false), 3);
    world_sim_advance(w, 0); /* collected with the rest of its group */
    assert_int_equal(world_sim_count(w, "s", false), 0);
}

static void a_process_is_known_by_its_start_time(void **state)
{
    (void)state;
    struct proc p, q;
    struct procfs_entry e = {.cmdline = "/srv/s -x", .uid = 7};
    pid_t pid = world_sim_add(w, &e, NULL);
    const struct procfs_entry *found = world_sim_find_pid(w, pid);
    assert_int_equal(found->cmdline_len, sizeof "/srv/s\0-x");
    assert_memory_equal(found->cmdline, "/srv/s\0-x", sizeof "/srv/s\0-x");
    assert_int_equal(procfs_start_ms(found->stat.start_ticks), START_MS);
    uint64_t ticks = found->stat.start_ticks;
    assert_int_equal(w->ops->adopt(w, pid, ticks + 1, &p), -ESRCH);
    assert_int_equal(w->ops->adopt(w, pid, ticks, &p), 0);
    assert_false(p.child);
    e.pid = pid;
    assert_int_equal(world_sim_add(w, &e, NULL), -EEXIST);
    world_sim_exit(w, pid, 0);
    world_sim_advance(w, 1000);
    assert_int_equal(world_sim_add(w, &e, NULL), pid); /* the number is free again */
    assert_int_equal(w->ops->signal(w, &p, SIGKILL, PROC_GROUP), -ESRCH);
    assert_int_equal(w->ops->adopt(w, pid, ticks, &q), -ESRCH);
    assert_non_null(world_sim_find_pid(w, pid));
    struct proc_exit how;
    assert_true(w->ops->reap(w, &p, true, &how)); /* the one that was held has ended */
    assert_false(how.known);
    w->ops->release(w, &p);
    assert_int_equal(p.pid, 0);
}

static void two_handles_of_one_process(void **state)
{
    (void)state;
    struct owner o;
    struct proc second;
    start(&o);
    const struct procfs_entry *e = world_sim_find(w, "s");
    assert_int_equal(w->ops->adopt(w, e->pid, e->stat.start_ticks, &second), 0);
    w->ops->release(w, &second);
    world_sim_exit(w, o.proc.pid, 1);
    world_sim_advance(w, 0);
    assert_int_equal(o.told, 1);
}

static void the_monitor_may_die(void **state)
{
    (void)state;
    struct owner o, zombie;
    start(&o);
    start(&zombie);
    world_sim_exit(w, zombie.proc.pid, 0);
    pid_t pid = o.proc.pid;
    w->ops->release(w, &o.proc);
    w->ops->release(w, &zombie.proc);
    world_sim_orphan(w);
    assert_int_equal(world_sim_count(w, NULL, false), 1);
    assert_int_equal(world_sim_find_pid(w, pid)->stat.ppid, 1);
    struct proc p;
    assert_int_equal(w->ops->adopt(w, pid, world_sim_find_pid(w, pid)->stat.start_ticks, &p), 0);
    assert_false(p.child);
    world_sim_advance(w, 10);
    assert_int_equal(zombie.told, 0); /* nobody was there to be told */
    w->ops->release(w, &p);
}

static void pids_are_never_given_twice_at_a_time(void **state)
{
    (void)state;
    struct proc p[4];
    for (int i = 0; i < 2; i++)
        assert_int_equal(spawn(&p[i]), 0);
    world_sim_set_next_pid(w, p[0].pid);
    for (int i = 2; i < 4; i++)
        assert_int_equal(spawn(&p[i]), 0);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            assert_true(p[i].pid != p[k].pid);
    for (int i = 0; i < 4; i++)
        w->ops->release(w, &p[i]);
}

/* ---- looks */

struct look {
    int told;
    int64_t told_ms;
    size_t count;
    pid_t first;
    bool marked;
};

static void on_scan(void *arg, const struct procfs_table *t)
{
    struct look *l = arg;
    l->told++;
    l->told_ms = now();
    l->count = t->count;
    l->first = t->count ? t->entries[0].pid : 0;
    l->marked = t->count && t->entries[0].marker && !strcmp(t->entries[0].marker, "home:env/s");
    for (size_t i = 1; i < t->count; i++)
        assert_true(t->entries[i - 1].pid < t->entries[i].pid);
    if (t->count)
        assert_ptr_equal(procfs_table_find(t, l->first), &t->entries[0]);
}

static void a_look_shows_what_was_there_when_it_began(void **state)
{
    (void)state;
    struct look l = {0}, gone = {0};
    struct proc p, q;
    world_sim_set_next_pid(w, 200);
    assert_int_equal(spawn(&p), 0);
    world_sim_set_next_pid(w, 100);
    assert_int_equal(spawn(&q), 0);
    assert_int_equal(w->ops->scan(w, NULL, 0, on_scan, &l), 0);
    assert_int_equal(l.told, 0); /* never from inside */
    world_sim_advance(w, 0);
    assert_int_equal(l.told, 1);
    assert_int_equal(l.count, 2);
    assert_int_equal(l.first, 100);
    assert_true(l.marked);
    world_sim_set_scan_ms(w, 70);
    assert_int_equal(w->ops->scan(w, NULL, 0, on_scan, &l), 0);
    assert_int_equal(w->ops->scan(w, NULL, 0, on_scan, &gone), 0);
    w->ops->unscan(w, &gone);
    world_sim_exit(w, 100, 0);
    struct proc_exit how;
    assert_true(w->ops->reap(w, &q, true, &how));
    w->ops->release(w, &q);
    w->ops->release(w, &p);
    world_sim_advance(w, 69);
    assert_int_equal(l.told, 1);
    world_sim_advance(w, 100);
    assert_int_equal(l.told, 2);
    assert_int_equal(l.told_ms, START_MS + 70);
    assert_int_equal(l.count, 2);
    assert_int_equal(l.first, 100);
    assert_int_equal(gone.told, 0);
    world_sim_fail_scans(w, EMFILE);
    assert_int_equal(w->ops->scan(w, NULL, 0, on_scan, &l), -EMFILE);
    world_sim_fail_scans(w, 0);
    assert_int_equal(w->ops->scan(w, NULL, 0, on_scan, &l), 0); /* still under way at the end of the world */
}

static void consoles(void **state)
{
    (void)state;
    struct proc p;
    char *text = w->ops->tail(w, "/srv/log", 2, 100);
    assert_null(text);
    behave((struct world_sim_behaviour){.console = "one\ntwo\nthree"});
    assert_int_equal(spawn(&p), 0);
    text = w->ops->tail(w, "/srv/log", 2, 100);
    assert_string_equal(text, "two\nthree\n");
    free(text);
    text = w->ops->tail(w, "/srv/log", 2, 3);
    assert_string_equal(text, "ree\n");
    free(text);
    assert_null(w->ops->tail(w, "/srv/other", 2, 100));
    int64_t at = 4;
    text = w->ops->since(w, "/srv/log", &at, 100);
    assert_string_equal(text, "two\n");
    free(text);
    assert_null(w->ops->since(w, "/srv/log", &at, 100)); /* the last line is not whole yet */
    assert_int_equal(world_sim_write(w, "/srv/log", "!\nfour\n"), 0);
    text = w->ops->since(w, "/srv/log", &at, 8);
    assert_string_equal(text, "three!\n");
    free(text);
    text = w->ops->since(w, "/srv/log", &at, 3);
    assert_string_equal(text, "fou");
    free(text);
    assert_int_equal(at, 18);
    assert_null(w->ops->since(w, "/srv/other", &at, 100));
    w->ops->release(w, &p);
}

static void an_end_in_all_detail(void **state)
{
    (void)state;
    struct owner o;
    start(&o);
    const struct proc_exit how = {
        .known = true, .code = -1, .signal = SIGSEGV, .core = true, .cpu_ms = 1500, .max_rss_kib = 2048};
    pid_t pid = o.proc.pid;
    assert_true(world_sim_end(w, pid, &how));
    assert_false(world_sim_end(w, pid, &how));
    world_sim_advance(w, 0);
    assert_int_equal(o.told, 1);
    assert_memory_equal(&o.how, &how, sizeof how);
}

static void a_process_may_become_deaf(void **state)
{
    (void)state;
    struct owner o;
    behave((struct world_sim_behaviour){.reactions = {{.signal = SIGTERM, .exits = true}}});
    start(&o);
    pid_t pid = o.proc.pid;
    assert_true(world_sim_ignore(w, pid, ~0ULL));
    w->ops->signal(w, &o.proc, SIGTERM, PROC_GROUP);
    w->ops->signal(w, &o.proc, SIGINT, PROC_GROUP);
    world_sim_advance(w, 1000);
    assert_int_equal(o.told, 0);
    assert_false(w->ops->catches(w, &o.proc, SIGTERM));
    w->ops->signal(w, &o.proc, SIGKILL, PROC_GROUP);
    world_sim_advance(w, 0);
    assert_int_equal(o.how.signal, SIGKILL);
    assert_false(world_sim_ignore(w, pid, 1));
}

static void a_console_is_written_to_later(void **state)
{
    (void)state;
    assert_int_equal(world_sim_write(w, "/srv/log", "one\n"), 0);
    assert_int_equal(world_sim_write(w, "/srv/log", "two\n"), 0);
    assert_int_equal(w->ops->log_size(w, "/srv/log"), 8);
    char *text = w->ops->tail(w, "/srv/log", 1, 100);
    assert_string_equal(text, "two\n");
    free(text);
}

struct task {
    struct world_work work;
    int64_t ran_ms;
    int done;
    bool wanted;
};

static void run_task(struct world_work *k)
{
    CONTAINER_OF(k, struct task, work)->ran_ms = w->ops->mono_ms(w);
}

static void task_done(struct world_work *k, bool wanted)
{
    struct task *t = CONTAINER_OF(k, struct task, work);
    t->wanted = wanted;
    t->done++;
}

static void begin_task(struct task *t)
{
    *t = (struct task){.work = {.run = run_task, .done = task_done, .owner = t}};
    assert_int_equal(w->ops->work(w, &t->work), 0);
}

static void work_takes_the_time_it_is_given(void **state)
{
    (void)state;
    struct task quick, slow, gone, last;
    int64_t start = w->ops->mono_ms(w);
    begin_task(&quick);
    assert_int_equal(quick.done, 0);
    world_sim_advance(w, 0);
    assert_true(quick.done == 1 && quick.wanted && quick.ran_ms == start);
    world_sim_set_work_ms(w, 70);
    begin_task(&slow);
    begin_task(&gone);
    w->ops->unwork(w, &gone);
    assert_true(gone.done == 1 && !gone.wanted);
    assert_int_equal(world_sim_next_ms(w), 70);
    world_sim_advance(w, 100);
    assert_true(slow.done == 1 && slow.ran_ms == start + 70);
    begin_task(&last);
    world_sim_free(w);
    assert_true(last.done == 1 && !last.wanted);
    w = world_sim_new(0, 0);
    assert_non_null(w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_fire_at_their_own_time),
        TEST(the_wall_clock_is_another_one),
        TEST(nothing_can_stop_time),
        TEST(a_slow_start_takes_time),
        TEST(an_end_is_told_from_the_next_advance),
        TEST(it_dies_when_it_is_meant_to),
        TEST(a_life_of_no_length_is_told_all_the_same),
        TEST(a_start_can_fail),
        TEST(signals),
        TEST(sigkill_comes_before_a_slow_end),
        TEST(children_stay_behind),
        TEST(a_process_is_known_by_its_start_time),
        TEST(two_handles_of_one_process),
        TEST(the_monitor_may_die),
        TEST(pids_are_never_given_twice_at_a_time),
        TEST(a_look_shows_what_was_there_when_it_began),
        TEST(consoles),
        TEST(an_end_in_all_detail),
        TEST(a_process_may_become_deaf),
        TEST(a_console_is_written_to_later),
        TEST(work_takes_the_time_it_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
