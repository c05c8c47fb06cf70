/* Command lines, really run: they do what a shell would have done. */
#include "buf.h"
#include "core_cmdline_fixture.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define TEXT_SIZE ((size_t)1024 * 1024)
#define LONG ((size_t)100 * 1024)

static pid_t last_pid; /* of the process that run() started */

static void child(char *const *argv, const char *dir, const struct cmdline *c, char *const *map, int out)
{
    dup2(out, 1);
    dup2(out, 2);
    if (chdir(dir) != 0)
        _exit(126);
    for (char *const *pair = c ? c->env : NULL; pair && *pair; pair++)
        putenv(*pair);
    for (char *const *pair = map; pair && *pair; pair++)
        putenv(*pair);
    for (size_t i = 0; c && i < c->nlimits; i++) {
        struct rlimit limit;
        getrlimit((__rlimit_resource_t)c->limits[i].resource, &limit);
        limit.rlim_cur = c->limits[i].soft ? c->limits[i].value : limit.rlim_cur;
        limit.rlim_max = c->limits[i].hard ? c->limits[i].value : limit.rlim_max;
        if (setrlimit((__rlimit_resource_t)c->limits[i].resource, &limit) != 0)
            _exit(125);
    }
    execv(argv[0], argv);
    dprintf(1, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* Runs argv and returns all it wrote; the caller frees it. */
static char *run(char *const *argv, const char *dir, const struct cmdline *c, char *const *map)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    last_pid = fork();
    assert_true(last_pid >= 0);
    if (last_pid == 0) {
        close(fds[0]);
        child(argv, dir, c, map, fds[1]);
    }
    close(fds[1]);
    char *text = malloc(TEXT_SIZE);
    assert_non_null(text);
    size_t len = 0;
    ssize_t n;
    while ((n = read(fds[0], text + len, TEXT_SIZE - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = 0;
    close(fds[0]);
    assert_int_equal(waitpid(last_pid, NULL, 0), last_pid);
    return text;
}

/* What the command line writes when it is run the way it was resolved. */
static char *output_of(const struct cmdline_input *in)
{
    struct cmdline c;
    must_resolve(in, &c);
    char *text = run(c.argv, c.dir, &c, in->env);
    cmdline_fini(&c);
    return text;
}

/* The same by a shell that stands in rootpath. */
static char *output_of_shell(const char *script)
{
    char *argv[] = {"/bin/sh", "-c", (char *)script, NULL};
    return run(argv, root, NULL, NULL);
}

static void expect_output(const struct cmdline_input *in, const char *want)
{
    char *got = output_of(in);
    if (strcmp(got, want) != 0)
        fail_msg("%.200s\nwrote  %.400s\nwanted %.400s", in->cmd, got, want);
    free(got);
}

/* ---- behaviour ---- */

static void test_runs_as_in_a_shell(void **state)
{
    (void)state;
    static const char *const cmds[] = {
        "web/show a  b\tc",
        "web/show größe 漢字 a{b,c} x=y !",
        "'my dir/run me' 'a  b' \"c  d\" e\\ f",
        "my\\ dir/run\\ me \"\" '' x",
        "\"it's ü/läuft\" \"it's\" 'say \"hi\"'",
        "web/show $HOME \"$HOME\" '$HOME' \\$HOME",
        "web/show `echo a b` \"$(echo \"c  d\"; echo ')')\" ${NOTHING:-e f}",
        "web/show we[b]/*nothing* 2>&1",
        "web/show a 2>&1 >/dev/null",
        "web/show a >&2",
        "web/show ~ a~",
        "web/show a # no comment; ls",
        "web/show a#b '#' c",
        "A=x web/show \"$A\"",
        "A=x B=\"y  z\" web/show",
        "2>/dev/null A=x web/show a",
        "web/show \\\n  a \\\nb",
        "web/show 'a\nb'",
        "\n\nweb/show 'a'\n\n",
        "# first\nweb/show 'a'",
        "web/show a; web/show b",
        "web/show a && web/show b || web/show c",
        "web/show a; if ! A=x 'my dir/run me' b >&2; then web/show c; fi & wait",
        "web/show a; echo x | cat; ./web/show b; cd /; false",
        "false && web/show b || web/show c",
        "! web/show a && web/show b",
        "web/show a | sed s/a/z/",
        "(web/show a; web/show b) 2>&1",
        "{ web/show a; web/show b; } | cat",
        "if web/show a; then web/show b; fi",
        "for i in 1 2 3; do web/show $i; done",
        "f() { web/show \"$@\"; }; f 1 '2 3'",
        "web/show a\nweb/show b # the end",
        "web/show a & wait",
        "A=x; web/show \"$A\"",
        "test -f web/show && web/show yes",
        "cat <<END\nit's \"$HOME\nEND\n",
        "echo 'a\\tb' \"$HOME\"",
        "echo a 'b'; echo c",
        "cd web && ./show \"$PWD\" >/dev/null; echo",
        "export A=x; exec web/show",
        "exec web/show 'a'",
        "echo",
    };
    for (size_t i = 0; i < ARRAY_LEN(cmds); i++) {
        char *want = output_of_shell(cmds[i]);
        struct cmdline_input in = {.cmd = cmds[i], .rootpath = root};
        expect_output(&in, want);
        /* nothing changes under environ statements that only a shell can do, whatever they end with */
        static const char *const environs[] = {"true $0", "true $0 & # x", "cat <<E >/dev/null\nx'\nE"};
        for (size_t j = 0; j < ARRAY_LEN(environs); j++) {
            in.environs[0] = environs[j];
            in.environs[1] = environs[(j + i) % ARRAY_LEN(environs)];
            expect_output(&in, want);
        }
        free(want);
    }
}

/* In a control operator form the folder of the first command comes first, then rootpath; a `cd` ends that. */
static void test_later_commands(void **state)
{
    (void)state;
    write_file("web/helper", "#!/bin/sh\necho web\n", 0755);
    write_file("helper", "#!/bin/sh\necho root\n", 0755);
    struct cmdline_input in = {.cmd = "web/show a; ./helper; ./show b; web/helper", .rootpath = root};
    expect_output(&in, "<a> A= B=\nweb\n<b> A= B=\nweb\n");
    in.cmd = "web/show a && cd / && web/show b 2>/dev/null || echo none";
    expect_output(&in, "<a> A= B=\nnone\n");
}

/* Which process is watched, and where it stands. */
static void test_process_and_folder(void **state)
{
    (void)state;
    static const struct {
        const char *cmd, *environ;
        bool parent;
    } cases[] = {
        {"web/where", NULL, false},        {"web/where 'a b'", NULL, false},   {"A=b web/where 2>&1", NULL, false},
        {"web/where", "A=$B", false},      {"web/where 'a b'", "A=$B", false}, {"web/where; true", NULL, true},
        {"web/where; true", "A=$B", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cmdline_input in = {.cmd = cases[i].cmd, .rootpath = root, .environs = {cases[i].environ}};
        char *text = output_of(&in);
        int pid, ppid, at = 0;
        assert_int_equal(sscanf(text, "%d %d %n", &pid, &ppid, &at), 2);
        assert_int_equal(cases[i].parent ? ppid : pid, last_pid);
        text[strcspn(text, "\n")] = 0;
        assert_string_equal(text + at, in_root("web"));
        free(text);
    }
}

static void test_environ_decides_the_whole_command(void **state)
{
    (void)state;
    struct cmdline_input in = {.cmd = "echo a; echo b", .rootpath = root, .environs = {"false $0", NULL}};
    expect_output(&in, "");
    in.cmd = "echo a";
    expect_output(&in, "");
    in.environs[0] = "false $0; true $0";
    expect_output(&in, "a\n");
}

static void test_missing_program_is_named(void **state)
{
    (void)state;
    struct cmdline_input in = {.cmd = "missing 'x' 2>&1", .rootpath = root, .path = ""};
    char *text = output_of(&in);
    assert_non_null(strstr(text, in_root("missing")));
    free(text);
}

static void test_long_command_lines(void **state)
{
    (void)state;
    struct buf plain = {0}, quoted = {0}, want = {0};
    buf_adds(&plain, "web/show");
    buf_adds(&quoted, "web/show '");
    for (int i = 0; plain.len < LONG; i++) {
        buf_addf(&plain, "  wört-%d", i);
        buf_addf(&want, "<wört-%d>", i);
    }
    buf_adds(&want, " A= B=\n");
    struct cmdline_input in = {.cmd = buf_str(&plain), .rootpath = root};
    expect_output(&in, buf_str(&want));
    in.environs[1] = "B=$B"; /* behind a shell */
    expect_output(&in, buf_str(&want));
    buf_clear(&want);
    buf_addc(&want, '<');
    while (quoted.len < LONG) {
        buf_adds(&quoted, "a \" $b; ");
        buf_adds(&want, "a \" $b; ");
    }
    buf_addc(&quoted, '\'');
    buf_adds(&want, "> A= B=\n");
    in.cmd = buf_str(&quoted);
    expect_output(&in, buf_str(&want));
    buf_fini(&plain);
    buf_fini(&quoted);
    buf_fini(&want);
}

/* A limit applied natively is what the shell's own ulimit would have set. */
static void test_limits_have_the_units_of_the_shell(void **state)
{
    (void)state;
    static const struct {
        const char *set, *show; /* `show` as dash calls it */
    } cases[] = {
        {"-c 0", "-c"},   {"-f 7", "-f"},  {"-d 1000000", "-d"}, {"-s 4096", "-s"},      {"-l 16", "-l"},
        {"-m 99", "-m"},  {"-n 64", "-n"}, {"-t 100", "-t"},     {"-w 9", "-w"},         {"-x 9", "-w"},
        {"-u 500", "-p"}, {"-r 0", "-r"},  {"-v 4000000", "-v"}, {"-n unlimited", "-n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char environ_text[64], cmd[64];
        snprintf(environ_text, sizeof environ_text, "ulimit -S %s", cases[i].set);
        snprintf(cmd, sizeof cmd, "ulimit -S %s", cases[i].show);
        struct cmdline_input in = {.cmd = cmd, .rootpath = root, .environs = {environ_text}};
        struct cmdline c;
        must_resolve(&in, &c);
        assert_int_equal(c.nlimits, 1);
        assert_true(c.limits[0].soft);
        assert_false(c.limits[0].hard);
        cmdline_fini(&c);
        struct rlimit files;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
        if (strstr(cases[i].set, "unlimited") && files.rlim_max != RLIM_INFINITY)
            continue; /* only for who may have that many files */
        char want[64];
        snprintf(want, sizeof want, "%s\n", strchr(cases[i].set, ' ') + 1);
        expect_output(&in, want);
        /* the same where a shell sets it */
        in.environs[1] = "true $0";
        expect_output(&in, want);
    }
}

static void test_hard_limits(void **state)
{
    (void)state;
    struct cmdline_input in = {.cmd = "ulimit -S -n; ulimit -H -n", .rootpath = root, .environs = {"ulimit -n 50"}};
    expect_output(&in, "50\n50\n");
    in.environs[1] = "ulimit -S -n 40; ulimit -H -n 45";
    expect_output(&in, "40\n45\n");
}

static void test_environ_reaches_the_command(void **state)
{
    (void)state;
    char *map[] = {"B=it's $B", "not-a-name=x", NULL};
    static const struct {
        const char *environs[2];
        bool map;
        const char *want;
    } cases[] = {
        {{"A='1  2'", NULL}, false, "<x> A=1  2 B=\n"},
        {{"A=1; B=2", "A=3"}, false, "<x> A=3 B=2\n"},
        {{"A=1; B=2", NULL}, true, "<x> A=1 B=it's $B\n"},
        /* through the shell: in order, exported too, the map last */
        {{"A=1", "B=$A$A"}, false, "<x> A=1 B=11\n"},
        {{"A=$(echo 1  2)", "B=2"}, false, "<x> A=1 2 B=2\n"},
        {{"A=1 # it's a comment; A=2", "B=$A # too"}, false, "<x> A=1 B=1\n"},
        {{"A=1; export A;\n", "&& B=\"$A;\" ; && "}, false, "<x> A=1 B=1;\n"},
        {{"A=$0; A=5", "B=3"}, true, "<x> A=5 B=it's $B\n"},
        {{"if true; then\nA=1\nfi", "case x in\nx)\nB=2\n;;\nesac;"}, false, "<x> A=1 B=2\n"},
        {{"A=a\\;", "echo $A \\;"}, false, "a; ;\n<x> A=a; B=\n"},
        {{"A=1 &", "B=$A"}, false, "<x> A= B=\n"},
    };
    static const char *const cmds[] = {"web/show x", "web/show 'x'", "web/show x; true"};
    for (size_t i = 0; i < ARRAY_LEN(cases) * ARRAY_LEN(cmds); i++) {
        size_t k = i / ARRAY_LEN(cmds);
        struct cmdline_input in = {
            .cmd = cmds[i % ARRAY_LEN(cmds)], .rootpath = root, .env = cases[k].map ? map : NULL};
        memcpy(in.environs, cases[k].environs, sizeof in.environs);
        expect_output(&in, cases[k].want);
    }
}

/* The PATH the command gets is the one it is searched in. */
static void test_path_of_the_environ(void **state)
{
    (void)state;
    char native[128], shell[128], pair[128], own[128];
    snprintf(native, sizeof native, "export PATH=%s:/bin", in_root("bin"));
    snprintf(shell, sizeof shell, "PATH=$PATH:%s", in_root("bin"));
    snprintf(pair, sizeof pair, "PATH=rel:%s:/bin", in_root("bin"));
    snprintf(own, sizeof own, "PATH=%s:/bin tool 'x'", in_root("bin"));
    char *map[] = {pair, NULL};
    struct cmdline_input cases[] = {
        {.cmd = "tool x", .rootpath = root, .environs = {native}},
        {.cmd = "tool x", .rootpath = root, .environs = {NULL, shell}},
        {.cmd = "tool 'x'", .rootpath = root, .environs = {shell}},
        {.cmd = "tool x; true", .rootpath = root, .environs = {shell}},
        {.cmd = "tool x", .rootpath = root, .environs = {"PATH=/none"}, .env = map},
        {.cmd = "tool 'x'", .rootpath = root, .environs = {"PATH=/none:$PATH"}, .env = map},
        {.cmd = own, .rootpath = root},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_output(&cases[i], "tool x\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_as_in_a_shell),
        cmocka_unit_test(test_later_commands),
        cmocka_unit_test(test_process_and_folder),
        cmocka_unit_test(test_environ_decides_the_whole_command),
        cmocka_unit_test(test_missing_program_is_named),
        cmocka_unit_test(test_long_command_lines),
        cmocka_unit_test(test_limits_have_the_units_of_the_shell),
        cmocka_unit_test(test_hard_limits),
        cmocka_unit_test(test_environ_reaches_the_command),
        cmocka_unit_test(test_path_of_the_environ),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
