/* Command lines and environ statements: what they are taken for. */
#include "buf.h"
#include "core_cmdline_fixture.h"

/* ---- classification ---- */

static void check_ways(const char *const *cmds, size_t n, enum cmdline_way way)
{
    for (size_t i = 0; i < n; i++) {
        struct cmdline_input in = {.cmd = cmds[i], .rootpath = root};
        struct cmdline c;
        must_resolve(&in, &c);
        if (c.way != way)
            fail_msg("%s: way %d instead of %d", cmds[i], (int)c.way, (int)way);
        cmdline_fini(&c);
    }
}

static void test_ways(void **state)
{
    (void)state;
    static const char *const direct[] = {
        "web/show",
        " \t web/show  -p\t8081 \n",
        "web/show A=b",
        "web/show a#b x~ c:~",
        "web/show {a,b} } !",
        "web/show -Dx=y:z %d @f ^ +",
        "/bin/echo 100%",
        "web/show a/b=c if done",
        "missing/x -y",
        "sleep 1",
        "web/show größe 漢字",
        "a/b=c d",
    };
    static const char *const exec[] = {
        "web/show 'a b'",
        "web/show \"a\"",
        "web/show a\\ b",
        "web/show $HOME",
        "web/show `date`",
        "web/show >log",
        "web/show 2>&1",
        "web/show <in",
        "web/show >>o 2>&1",
        "web/show >&2 <&0",
        "web/show *.c",
        "web/show a?c",
        "web/show [ab]",
        "web/show ~/x",
        "web/show x #y",
        "A=b web/show",
        "web/show ';' '&'",
        "web/show \"a;b|c\"",
        "web/show \\; \\&",
        "web/show $(a; b | c)",
        "web/show ${A:-a;b}",
        "\n web/show 'a'\n\n",
        "web/show `a;b`",
        "web/show a >|f",
        "web/show $((1 << 2)) # ; x",
        "'web/show'",
        "exec web/show",
        "cd web",
        "web/show \\\n a",
        ">log web/show 3<>f",
        "web/show \"$(echo \")\" ';')\"",
        "\"if\" x",
        "web/show \"${A:-it's}\"",
        "A=b if",
        "web/show $(echo a # it's\n)",
    };
    static const char *const parent[] = {
        "a; b",       "a;b",
        "web/show &", "a && b",
        "a || b",     "a | b",
        "(a)",        "a\nb",
        "if a",       "while a",
        "until a",    "for a",
        "case a",     "{ a",
        "! a",        "a 2>&1 | b",
        "a >f; b",    "f() { a; }; f",
        "a 'x' ; b",  "# c\na\n# d\nb",
        "a &>f",      "cat <<E\nit's \"\nE\n",
        "A=b; a",     "a # c\nb",
        "a 2&",       "a 1|b",
        "2>&1 a;b",
    };
    check_ways(direct, ARRAY_LEN(direct), CMDLINE_DIRECT);
    check_ways(exec, ARRAY_LEN(exec), CMDLINE_SHELL_EXEC);
    check_ways(parent, ARRAY_LEN(parent), CMDLINE_SHELL_PARENT);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *cmd, *environ, *message;
    } cases[] = {
        {"", NULL, "the command line is empty"},
        {" \t\n ", NULL, "the command line is empty"},
        {"# only this", NULL, "the command line is empty"},
        {"A=b", NULL, "the command line names no command"},
        {">out", NULL, "the command line names no command"},
        {"'' x", NULL, "the command line names no command"},
        {"ü 'x", NULL, "the command line: the ' at character 3 is not closed"},
        {"x \"a\\\"", NULL, "the command line: the \" at character 3 is not closed"},
        {"x; y `z", NULL, "the command line: the ` at character 6 is not closed"},
        {"x $(y", NULL, "the command line: the $( at character 3 is not closed"},
        {"x ${y", NULL, "the command line: the ${ at character 3 is not closed"},
        {"x `\\", NULL, "the command line: the ` at character 3 is not closed"},
        {"x \\", NULL, "the command line: ends with a backslash"},
        {"x", "A='b", "environ: the ' at character 3 is not closed"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cmdline_input in = {.cmd = cases[i].cmd, .rootpath = root, .environs = {NULL, cases[i].environ}};
        struct cmdline c;
        struct err err = {0};
        assert_false(cmdline_resolve(&in, &c, &err));
        assert_string_equal(err.text, cases[i].message);
        assert_null(c.argv);
        assert_null(c.dir);
    }
}

static void test_deep_nesting_is_refused(void **state)
{
    (void)state;
    struct buf cmd = {0};
    buf_adds(&cmd, "x ");
    for (int i = 0; i < 100000; i++)
        buf_adds(&cmd, "$(");
    struct cmdline_input in = {.cmd = buf_str(&cmd), .rootpath = root};
    struct cmdline c;
    struct err err = {0};
    assert_false(cmdline_resolve(&in, &c, &err));
    assert_string_equal(err.text, "the command line: the $( at character 3 is not closed");
    buf_fini(&cmd);
}

/* ---- executable and folder ---- */

static void test_executable(void **state)
{
    (void)state;
    static const struct {
        const char *cmd;
        const char *exe, *dir; /* relative ones are in rootpath */
    } cases[] = {
        {"web/show a", "web/show", "web"},
        {"./web//./show", "web/show", "web"},
        {"web/../web/show", "web/../web/show", "web/../web"},
        {"show", "show", ""},
        {"missing/x", "missing/x", "missing"},
        {"nowhere", "nowhere", ""},
        {"tool x", "bin/tool", ""},
        {"data", "data", ""},
        {"/bin/sh -c x", "/bin/sh", "/bin"},
        {"/vmlinux", "/vmlinux", "/"},
        {"'my dir/run me' a", "my dir/run me", "my dir"},
        {"my\\ dir/\"run me\"", "my dir/run me", "my dir"},
        {"\"it's ü\"/läuft", "it's ü/läuft", "it's ü"},
        {"A=b >out web/show", "web/show", "web"},
        {"missing/x 'a'", "missing/x", "missing"},
        {"nowhere 'a'", "nowhere", ""},
        {"tool 'a'", "bin/tool", ""},
        {"PATH=/bin tool 'a'", NULL, ""},
        {"test 'a'", "test", ""},
        {"$A/show", NULL, ""},
        {"\"$A\"/show", NULL, ""},
        {"~/show", NULL, ""},
        {"we[b]/show", NULL, ""},
        {"'a*b' x", "a*b", ""},
        {"cd web", NULL, ""},
        {"exec web/show 'a'", NULL, ""},
        {". web/show", NULL, ""},
        {"web/show; echo", "web/show", "web"},
        {"tool | cat", "bin/tool", ""},
        {"missing/x; echo", NULL, ""},
        {"nowhere; echo", NULL, ""},
        {"test -f x && echo", NULL, ""},
        {"if web/show; then :; fi", NULL, ""},
        {"show() { :; }; show", NULL, ""},
        {"A=b; web/show", NULL, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cmdline_input in = {.cmd = cases[i].cmd, .rootpath = root, .path = in_root("bin")};
        struct cmdline c;
        must_resolve(&in, &c);
        const char *exe = cases[i].exe;
        if ((exe == NULL) != (c.exe == NULL))
            fail_msg("%s: exe is %s", cases[i].cmd, c.exe ? c.exe : "NULL");
        if (exe)
            assert_string_equal(c.exe, *exe == '/' ? exe : in_root(exe));
        assert_string_equal(c.dir, *cases[i].dir == '/' ? cases[i].dir : in_root(cases[i].dir));
        if (c.way == CMDLINE_DIRECT)
            assert_string_equal(c.argv[0], c.exe);
        cmdline_fini(&c);
    }
}

static void test_untidy_rootpath(void **state)
{
    (void)state;
    char untidy[128];
    snprintf(untidy, sizeof untidy, "/.%s//./", root);
    struct cmdline_input in = {.cmd = "web/show", .rootpath = untidy};
    struct cmdline c;
    must_resolve(&in, &c);
    assert_string_equal(c.exe, in_root("web/show"));
    cmdline_fini(&c);
    in = (struct cmdline_input){.cmd = "bin/sh", .rootpath = "/"};
    must_resolve(&in, &c);
    assert_string_equal(c.exe, "/bin/sh");
    assert_string_equal(c.dir, "/bin");
    cmdline_fini(&c);
}

/* A link is a different place from what it points to. */
static void test_links_are_kept(void **state)
{
    (void)state;
    assert_int_equal(symlink("web", in_root("current")), 0);
    struct cmdline_input in = {.cmd = "current/where", .rootpath = root};
    struct cmdline c;
    must_resolve(&in, &c);
    assert_string_equal(c.dir, in_root("current"));
    cmdline_fini(&c);
}

static char *joined(char *const *list)
{
    struct buf b = {0};
    for (; list && *list; list++)
        buf_addf(&b, "%s|", *list);
    return buf_take(&b);
}

/* What the process shows once the shell has become it; A is the program. */
static void test_visible_arguments(void **state)
{
    (void)state;
    static const struct {
        const char *cmd, *visible; /* NULL: not known, or no other than argv */
    } cases[] = {
        {"web/show 'a  b' \"c\\\"d\" e\\ f ''", "A|a  b|c\"d|e f||"},
        {"X=1 web/show 2>&1 a >out b < 'in' # c", "A|a|b|"},
        {"2>/dev/null 'web/show' ü='日本'", "A|ü=日本|"},
        {"tool 'a'", "bin/tool|a|"},
        {"web/show '$A' '*'", "A|$A|*|"},
        {"web/show 'a' $A", NULL},
        {"web/show 'a' *", NULL},
        {"web/show 'a' ~", NULL},
        {"$A/show 'a'", NULL},
        {"PATH=/bin tool 'a'", NULL},
        {"cd 'web'", NULL},
        {"web/show a", NULL},
        {"web/show 'a'; echo", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cmdline_input in = {.cmd = cases[i].cmd, .rootpath = root, .path = in_root("bin")};
        struct cmdline c;
        must_resolve(&in, &c);
        if (!c.visible != !cases[i].visible)
            fail_msg("%s: visible is %s", cases[i].cmd, c.visible ? "known" : "not known");
        char wanted[512] = "", *got = joined(c.visible);
        if (cases[i].visible) {
            bool show = cases[i].visible[0] == 'A';
            snprintf(wanted, sizeof wanted, "%s%s", in_root(show ? "web/show" : "bin/tool"),
                     strchr(cases[i].visible, '|'));
        }
        assert_string_equal(got ? got : "", wanted);
        free(got);
        cmdline_fini(&c);
    }
}

/* ---- environ ---- */

static void test_native_environ(void **state)
{
    (void)state;
    static const struct {
        const char *environs[2];
        const char *env; /* NULL: needs a shell */
        size_t nlimits;
    } cases[] = {
        {{"", NULL}, "", 0},
        {{" ;; \n && # nothing\n", "# nothing"}, "", 0},
        {{"ulimit -n 65536; export A=b", NULL}, "A=b|", 1},
        {{"ulimit -n 65536 && A=b", "B='c d'"}, "A=b|B=c d|", 1},
        {{"A=1\nB=2;", "A=3 &&"}, "A=3|B=2|", 0},
        {{"export A=1 B=\"x y\"'z'; C=", NULL}, "A=1|B=x yz|C=|", 0},
        {{"A=1 # B=2; C=3\nD=#4", NULL}, "A=1|D=#4|", 0},
        {{"A=a=b:c/d,e{f} B=it\"'\"s", NULL}, "A=a=b:c/d,e{f}|B=it's|", 0},
        {{"A='$x `y` \\z *'", NULL}, "A=$x `y` \\z *|", 0},
        {{"ulimit -S -n 1; ulimit -H -n 2; ulimit -c unlimited", NULL}, "", 3},
        {{"A=$B", NULL}, NULL, 0},
        {{"A=`x`", NULL}, NULL, 0},
        {{"A=\"$B\"", NULL}, NULL, 0},
        {{"A=~/x", NULL}, NULL, 0},
        {{"A=/x:~/y", NULL}, NULL, 0},
        {{"export A", NULL}, NULL, 0},
        {{"export", NULL}, NULL, 0},
        {{"A=b foo", NULL}, NULL, 0},
        {{"A=b & B=c", NULL}, NULL, 0},
        {{"A=b || B=c", NULL}, NULL, 0},
        {{"A=b >f", NULL}, NULL, 0},
        {{"1A=b", NULL}, NULL, 0},
        {{"ulimit -n", NULL}, NULL, 0},
        {{"ulimit 5", NULL}, NULL, 0},
        {{"ulimit -n 1 -u 2", NULL}, NULL, 0},
        {{"ulimit -p 5", NULL}, NULL, 0},
        {{"ulimit -n hard", NULL}, NULL, 0},
        {{"ulimit -n -1", NULL}, NULL, 0},
        {{"ulimit -s 36028797018963968", NULL}, NULL, 0},
        {{"ulimit -Z 5", NULL}, NULL, 0},
        {{"ulimit -X -n 5", NULL}, NULL, 0},
        {{"umask 022", NULL}, NULL, 0},
        {{"A=b", "umask 022"}, NULL, 0},
        {{"umask 022", "A=b"}, NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cmdline_input in = {.cmd = "web/show", .rootpath = root};
        memcpy(in.environs, cases[i].environs, sizeof in.environs);
        struct cmdline c;
        must_resolve(&in, &c);
        bool shell = strcmp(c.argv[0], "/bin/sh") == 0;
        if (shell != !cases[i].env)
            fail_msg("environ %s: shell %d", cases[i].environs[0], shell);
        char *env = joined(c.env);
        assert_string_equal(env, cases[i].env ? cases[i].env : "");
        assert_int_equal(c.nlimits, cases[i].nlimits);
        assert_int_equal(c.way, shell ? CMDLINE_SHELL_EXEC : CMDLINE_DIRECT);
        free(env);
        cmdline_fini(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_executable),
        cmocka_unit_test(test_untidy_rootpath),
        cmocka_unit_test(test_links_are_kept),
        cmocka_unit_test(test_visible_arguments),
        cmocka_unit_test(test_native_environ),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
