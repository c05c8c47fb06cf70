/* Which process belongs to which service. */
#include "match.h"

#include "core_fixture.h"

#include <time.h>

#define UID 1000
#define SELF 77

static struct procfs_entry table_entries[32];
static struct procfs_table table;
static struct conf *conf;
static struct match_look *looks;
static struct match found;

static int setup(void **state)
{
    (void)state;
    table = (struct procfs_table){.entries = table_entries};
    return 0;
}

static void free_looks(void)
{
    match_fini(&found);
    for (size_t i = 0; looks && i < conf->nsvrs; i++)
        match_look_fini(&looks[i]);
    free(looks);
    conf_free(conf);
    looks = NULL;
    conf = NULL;
}

static int teardown(void **state)
{
    (void)state;
    if (conf)
        free_looks();
    return 0;
}

/* Adds a process; blanks in the command line part the arguments. They get their pids in order. */
static pid_t add(const struct procfs_entry *e)
{
    static char lines[ARRAY_LEN(table_entries)][128];
    assert_true(table.count < ARRAY_LEN(table_entries));
    struct procfs_entry *n = &table.entries[table.count];
    *n = *e;
    n->pid = 100 + (pid_t)table.count * 10;
    if (!n->stat.ppid)
        n->stat.ppid = 1;
    if (!n->stat.session)
        n->stat.session = n->pid;
    if (!n->stat.start_ticks)
        n->stat.start_ticks = (uint64_t)n->pid;
    if (!n->stat.state)
        n->stat.state = 'S';
    if (!n->uid)
        n->uid = UID;
    if (n->cmdline) {
        char *line = lines[table.count];
        n->cmdline_len = strlen(n->cmdline) + 1;
        memcpy(line, n->cmdline, n->cmdline_len);
        for (char *p = line; *p; p++)
            if (*p == ' ')
                *p = 0;
        n->cmdline = line;
    }
    table.count++;
    return n->pid;
}

#define ADD(...) add(&(struct procfs_entry){__VA_ARGS__})

/* Takes the configuration over and looks for its services. */
/* Editors are told from interpreters by their names here; the real thing reads the script's first line. */
static bool script_fits(const char *script, const char *exe)
{
    (void)script;
    return !exe || !strstr(exe, "vim");
}

static pid_t held[4]; /* of the first services */

static void look_for(struct conf *c)
{
    conf = c;
    looks = calloc(c->nsvrs, sizeof *looks);
    assert_non_null(looks);
    for (size_t i = 0; i < c->nsvrs; i++) {
        match_look_init(&looks[i], c, &c->svrs[i], UID);
        looks[i].held = i < ARRAY_LEN(held) ? held[i] : 0;
    }
    assert_int_equal(match_run(&table, looks, c->nsvrs, FIXTURE_PREFIX, SELF, script_fits, &found), 0);
}

/* 0: none. */
static pid_t pid_of(const struct procfs_entry *e)
{
    return e ? e->pid : 0;
}

static void assert_found(size_t i, pid_t best, pid_t copy, pid_t heir)
{
    assert_int_equal(pid_of(found.found[i].best), best);
    assert_int_equal(pid_of(found.found[i].copy), copy);
    assert_int_equal(pid_of(found.found[i].heir), heir);
}

static struct conf *conf_with(const char *cmd)
{
    struct conf *c = fixture_conf("web");
    fixture_set(&c->svrs[0].cmd, cmd);
    return c;
}

static void nothing_runs(void **state)
{
    (void)state;
    ADD(.cmdline = "/sbin/init", .uid = 1);
    ADD(.cmdline = NULL);
    look_for(fixture_conf("a", "b"));
    assert_found(0, 0, 0, 0);
    assert_found(1, 0, 0, 0);
    assert_int_equal(found.owner[0], -1);
}

static void an_empty_table_and_no_services(void **state)
{
    (void)state;
    look_for(fixture_conf("a"));
    assert_found(0, 0, 0, 0);
    free_looks();
    ADD(.cmdline = "/srv/a/a --serve");
    look_for(fixture_conf_of(NULL, 0));
    assert_int_equal(found.owner[0], -1);
}

static void the_marked_leader(void **state)
{
    (void)state;
    pid_t other = ADD(.cmdline = "/srv/b/b --serve", .marker = FIXTURE_PREFIX "b");
    pid_t renamed = ADD(.cmdline = "web: worker", .marker = FIXTURE_PREFIX "a"); /* it set its own title */
    look_for(fixture_conf("a", "b"));
    assert_found(0, renamed, 0, 0);
    assert_found(1, other, 0, 0);
    assert_int_equal(found.owner[0], 1);
    assert_int_equal(found.owner[1], 0);
}

static void a_marker_of_somebody_else(void **state)
{
    (void)state;
    /* The same program under another env or home is not ours, though it looks the same. */
    ADD(.cmdline = "/srv/a/a --serve", .marker = "/home/fm:prod/a");
    ADD(.cmdline = "/srv/a/a --serve", .marker = "/home/other:test/a");
    ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "unknown");
    ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "aa");
    ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX);
    look_for(fixture_conf("a"));
    assert_found(0, 0, 0, 0);
    for (size_t i = 0; i < table.count; i++)
        assert_int_equal(found.owner[i], -1);
}

static void a_marker_shown_by_another_user(void **state)
{
    (void)state;
    /* Anybody can set the variable; a daemon that gave up its rights also has the command line. */
    ADD(.cmdline = "sleep 77", .marker = FIXTURE_PREFIX "a", .uid = UID + 1);
    pid_t daemon = ADD(.cmdline = "/srv/b/b --serve", .marker = FIXTURE_PREFIX "b", .uid = UID + 1);
    look_for(fixture_conf("a", "b"));
    assert_found(0, 0, 0, 0);
    assert_found(1, daemon, 0, 0);
}

static void the_command_line(void **state)
{
    (void)state;
    ADD(.cmdline = "/srv/a/a");
    ADD(.cmdline = "/srv/a/a --serve more");
    ADD(.cmdline = "/srv/a/a --ser");
    ADD(.cmdline = "/srv/a/b --serve");
    pid_t pid = ADD(.cmdline = "/srv/a/a --serve");
    look_for(fixture_conf("a"));
    assert_found(0, pid, 0, 0);
    assert_int_equal(found.owner[4], -1); /* found by its looks, not by its marker */
}

/* Of what we hold and know, the table shows nothing but that it is there. */
static void the_known_belong_to_who_holds_them(void **state)
{
    (void)state;
    pid_t old = ADD(.cmdline = "/srv/a/a --serve", .stat.start_ticks = 10);
    held[0] = ADD(.known = true, .stat.start_ticks = 500);
    pid_t child = ADD(.cmdline = "/srv/a/a --serve", .stat.ppid = held[0], .stat.start_ticks = 501);
    held[1] = ADD(.known = true, .stat.start_ticks = 400);
    pid_t left = ADD(.known = true); /* was let go of during the look */
    ADD(.known = true, .stat.state = 'Z');
    held[2] = table.entries[table.count - 1].pid;
    look_for(fixture_conf("a", "b", "c"));
    assert_found(0, held[0], old, 0);
    assert_found(1, held[1], 0, 0);
    assert_found(2, 0, 0, 0);
    assert_true(found.found[0].same && found.found[1].same);
    assert_int_equal(found.owner[1], 0);
    assert_int_equal(found.owner[3], 1);
    assert_true(child && left);
    assert_int_equal(found.owner[4], -1);
    assert_int_equal(found.owner[5], -1);
    memset(held, 0, sizeof held);
}

static void another_user(void **state)
{
    (void)state;
    ADD(.cmdline = "/srv/a/a --serve", .uid = UID + 1);
    look_for(fixture_conf("a"));
    assert_found(0, 0, 0, 0);
    free_looks();
    pid_t pid = ADD(.cmdline = "/srv/a/a --serve", .uid = UID);
    look_for(fixture_conf("a"));
    assert_found(0, pid, 0, 0); /* and the other one is no copy */
}

static void ourselves_and_the_dead(void **state)
{
    (void)state;
    ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "a");
    table.entries[0].pid = SELF;
    ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "a", .stat.state = 'Z');
    ADD(.cmdline = "/srv/a/a --serve", .stat.state = 'X');
    look_for(fixture_conf("a"));
    assert_found(0, 0, 0, 0);
    assert_int_equal(found.owner[0], -1);
    assert_int_equal(found.owner[1], -1);
}

static void the_parent_of_its_workers(void **state)
{
    (void)state;
    /* Master and workers show the same line; the pids do not tell who came first. */
    pid_t master = 130;
    ADD(.cmdline = "/srv/a/a --serve", .stat.ppid = master, .stat.session = master, .stat.start_ticks = 50);
    ADD(.cmdline = "/srv/a/a --serve", .stat.ppid = master, .stat.session = master);
    ADD(.cmdline = "/srv/a/a --serve", .stat.ppid = 110, .stat.session = master); /* of a worker */
    assert_int_equal(ADD(.cmdline = "/srv/a/a --serve", .stat.start_ticks = 900), master);
    look_for(fixture_conf("a"));
    assert_found(0, master, 0, 0);
}

static void several_candidates(void **state)
{
    (void)state;
    pid_t young = ADD(.cmdline = "/srv/a/a --serve", .stat.start_ticks = 300);
    pid_t old = ADD(.cmdline = "/srv/a/a --serve", .stat.start_ticks = 200);
    look_for(fixture_conf("a"));
    assert_found(0, old, young, 0);
    free_looks();
    pid_t marked = ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "a", .stat.start_ticks = 400);
    look_for(fixture_conf("a"));
    assert_int_equal(pid_of(found.found[0].best), marked); /* though it is the youngest */
    assert_true(pid_of(found.found[0].copy) == old || pid_of(found.found[0].copy) == young);
}

static void a_marked_helper_is_no_copy(void **state)
{
    (void)state;
    /* A daemon the service started leads a session of its own and carries the marker along. */
    pid_t helper = ADD(.cmdline = "/usr/bin/helper", .marker = FIXTURE_PREFIX "a", .stat.start_ticks = 10);
    pid_t service = ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "a", .stat.start_ticks = 20);
    look_for(fixture_conf("a"));
    assert_found(0, service, 0, 0);
    assert_int_equal(found.owner[0], 0);
    assert_true(helper != service);
}

static void children_of_the_marked_are_not_candidates(void **state)
{
    (void)state;
    pid_t service = ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "a");
    ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "a", .stat.ppid = service, .stat.session = service);
    ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "a", .stat.ppid = service); /* setsid of its own */
    look_for(fixture_conf("a"));
    assert_found(0, service, 0, 0);
}

static void the_heir_of_a_graceful_restart(void **state)
{
    (void)state;
    /* The old master is gone; its successor is in its session and has got workers. */
    ADD(.cmdline = "sleep 77", .marker = FIXTURE_PREFIX "a", .stat.session = 54,
        .uid = UID + 1); /* anybody can say so */
    pid_t heir = ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "a", .stat.session = 55);
    ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "a", .stat.session = 55, .stat.ppid = heir,
        .stat.start_ticks = 1);
    ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "a", .stat.session = 55, .stat.start_ticks = 999);
    look_for(fixture_conf("a"));
    assert_found(0, 0, 0, heir);
}

static void services_with_the_same_line(void **state)
{
    (void)state;
    struct conf *c = fixture_conf("a", "b");
    fixture_set(&c->svrs[1].cmd, c->svrs[0].cmd);
    pid_t b = ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "b", .stat.start_ticks = 10);
    pid_t a = ADD(.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "a", .stat.start_ticks = 20);
    look_for(c);
    assert_found(0, a, 0, 0);
    assert_found(1, b, 0, 0);
}

static void started_by_hand(void **state)
{
    (void)state;
    static const struct {
        const char *cmd;     /* in the configuration */
        const char *cmdline; /* of the process */
        const char *cwd, *exe;
        bool same;
    } cases[] = {
        {"web/web -p 1", "/srv/web/web -p 1", "/", "/srv/web/web", true},
        {"web/web -p 1", "./web -p 1", "/srv/web", "/srv/web/web", true},
        {"web/web -p 1", "web/web -p 1", "/srv", "/srv/web/web", true},
        {"web/web -p 1", "./web/web -p 1", "/srv", "/srv/web/web", true},
        {"web/web -p 1", ".//web -p 1", "/srv/web", NULL, true},
        {"web/web -p 1", "./web -p 1", "/other/web", "/other/web/web", false},
        {"web/web -p 1", "./web -p 2", "/srv/web", "/srv/web/web", false},
        {"web/web -p 1", "web -p 1", "/home/x", "/srv/web/web", true}, /* found in PATH */
        {"web/web -p 1", "web -p 1", "/home/x", NULL, false},
        /* scripts show their interpreter first */
        {"web/run.sh a b", "/bin/sh /srv/web/run.sh a b", "/", "/bin/dash", true},
        {"web/run.sh a b", "sh ./run.sh a b", "/srv/web", "/bin/dash", true},
        {"web/run.sh a b", "/bin/sh /srv/web/run.sh a", "/", "/bin/dash", false},
        {"web/run.sh a b", "/bin/sh /srv/web/run.sh", "/", "/bin/dash", false},
        {"web/app.py", "/usr/bin/python3 -u /srv/web/app.py", "/", "/usr/bin/python3.11", true},
        {"web/app.py", "vim /srv/web/app.py", "/", "/usr/bin/vim", false}, /* has it open, does not run it */
        {"web/app.py", "cat /srv/web/app.py /srv/web/other.py", "/", "/bin/cat", false},
        /* a shell that becomes the command */
        {"web/web 'x' > out", "/srv/web/web x", "/", "/srv/web/web", true},
        {"web/web $X", "/srv/web/web x", "/", "/srv/web/web", false}, /* only the shell knows what that is */
        {"web/web x && true", "/bin/sh -c x", "/", "/bin/dash", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        table.count = 0;
        pid_t pid = ADD(.cmdline = cases[i].cmdline, .cwd = cases[i].cwd, .exe = cases[i].exe);
        look_for(conf_with(cases[i].cmd));
        if (pid_of(found.found[0].best) != (cases[i].same ? pid : 0))
            fail_msg("\"%s\" and \"%s\" in %s", cases[i].cmd, cases[i].cmdline, cases[i].cwd);
        free_looks();
    }
}

static void only_whole_arguments_count(void **state)
{
    (void)state;
    ADD(.cmdline = "x");
    table.entries[0].cmdline = "/srv/a/a --serve"; /* one argument with a blank in it */
    table.entries[0].cmdline_len = sizeof "/srv/a/a --serve";
    ADD(.cmdline = "/srv/a/a");
    table.entries[1].cmdline = "";
    table.entries[1].cmdline_len = 1;
    look_for(fixture_conf("a"));
    assert_found(0, 0, 0, 0);
}

static void a_line_without_its_last_nul(void **state)
{
    (void)state;
    /* A process may overwrite its own arguments, so that the kernel shows them unterminated. */
    ADD(.cmdline = "x");
    char *text = strdup("nginx: master process /usr/sbin/nginx");
    table.entries[0].cmdline = text;
    table.entries[0].cmdline_len = strlen(text);
    look_for(fixture_conf("a"));
    assert_found(0, 0, 0, 0);
    free(text);
}

#define MANY 5000

static void thousands_are_fast(void **state)
{
    (void)state;
    char(*names)[16] = calloc(MANY, sizeof *names);
    const char **list = calloc(MANY, sizeof *list);
    struct procfs_entry *entries = calloc(2 * MANY, sizeof *entries);
    char(*lines)[64] = calloc(2 * MANY, sizeof *lines);
    char(*markers)[64] = calloc(MANY, sizeof *markers);
    assert_true(names && list && entries && lines && markers);
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "s%05d", i);
        list[i] = names[i];
    }
    for (int i = 0; i < 2 * MANY; i++) {
        /* One half is marked, or started by hand; the other half nobody knows. */
        int n = snprintf(lines[i], sizeof lines[i], i < MANY ? "/srv/s%05d/s%05d" : "/usr/bin/x%05d/x%05d", i, i);
        snprintf(lines[i] + n + 1, sizeof lines[i] - (size_t)n - 1, "--serve");
        entries[i] = (struct procfs_entry){.pid = 1000 + i,
                                           .stat = {.ppid = 1, .session = 1000 + i, .state = 'S', .start_ticks = 1},
                                           .uid = UID,
                                           .cmdline = lines[i],
                                           .cmdline_len = (size_t)n + 9,
                                           .exe = "/usr/bin/x",
                                           .cwd = "/srv"};
        if (i < MANY && i % 2) {
            snprintf(markers[i], sizeof markers[i], FIXTURE_PREFIX "s%05d", i);
            entries[i].marker = markers[i];
        }
    }
    table = (struct procfs_table){.entries = entries, .count = 2 * MANY};
    struct conf *c = fixture_conf_of(list, MANY);
    clock_t before = clock();
    look_for(c);
    double took = (double)(clock() - before) / CLOCKS_PER_SEC;
    for (size_t i = 0; i < MANY; i++)
        assert_found(i, 1000 + (pid_t)i, 0, 0);
    if (took > 2) /* 0.03 s; each with each would be minutes */
        fail_msg("it took %g s", took);
    free(names);
    free(list);
    free(entries);
    free(lines);
    free(markers);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_runs),
        TEST(an_empty_table_and_no_services),
        TEST(the_marked_leader),
        TEST(a_marker_of_somebody_else),
        TEST(the_known_belong_to_who_holds_them),
        TEST(a_marker_shown_by_another_user),
        TEST(the_command_line),
        TEST(another_user),
        TEST(ourselves_and_the_dead),
        TEST(the_parent_of_its_workers),
        TEST(several_candidates),
        TEST(a_marked_helper_is_no_copy),
        TEST(children_of_the_marked_are_not_candidates),
        TEST(the_heir_of_a_graceful_restart),
        TEST(services_with_the_same_line),
        TEST(started_by_hand),
        TEST(only_whole_arguments_count),
        TEST(a_line_without_its_last_nul),
        TEST(thousands_are_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
