/* Events: the journal that keeps them, and who listens. */
#include "event_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BIG (64 * 1024 * 1024)

static char dir[64], path[96], rotated[100];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/event_test.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/journal", dir);
    snprintf(rotated, sizeof rotated, "%s.1", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    unlink(rotated);
    return rmdir(dir);
}

static char *read_file(const char *name)
{
    static char text[4 * 1024 * 1024];
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n >= 0);
    text[n] = 0;
    close(fd);
    return text;
}

/* ---- a judge of JSON: strict, for what a journal line may hold */

static const char *json_string(const char *p)
{
    if (*p++ != '"')
        return NULL;
    for (; *p != '"'; p++) {
        if ((unsigned char)*p < 32)
            return NULL;
        if (*p != '\\')
            continue;
        if (*++p == 'u' && strspn(p + 1, "0123456789abcdefABCDEF") >= 4)
            p += 4;
        else if (!*p || !strchr("\"\\/bfnrt", *p))
            return NULL;
    }
    return p + 1;
}

static const char *json_number(const char *p)
{
    size_t n = strspn(p, "0123456789");
    if (n == 0 || (n > 1 && *p == '0'))
        return NULL;
    p += n;
    if (*p != '.')
        return p;
    n = strspn(p + 1, "0123456789");
    return n ? p + 1 + n : NULL;
}

/* Is the line one flat object? Returns the end of it. */
static const char *json_object(const char *p)
{
    if (*p++ != '{')
        return NULL;
    for (;;) {
        p = json_string(p);
        if (!p || *p++ != ':')
            return NULL;
        p = *p == '"' ? json_string(p) : json_number(p);
        if (!p)
            return NULL;
        if (*p == '}')
            return p + 1;
        if (*p++ != ',')
            return NULL;
    }
}

/* Counts the lines of a text, all of which must be valid. */
static int count_lines(const char *text)
{
    int n = 0;
    for (; *text; n++) {
        const char *end = json_object(text);
        if (!end || *end != '\n')
            fail_msg("no valid line: %.200s", text);
        text = end + 1;
    }
    return n;
}

static struct event make_event(enum event_kind kind)
{
    return (struct event){.kind = kind, .wall_ms = 1767225600123, .mono_ms = 5007};
}

static uint64_t emit(struct event_journal *j, struct event_ring *r, const char *service, const char *text)
{
    struct event e = make_event(EVENT_MONITOR);
    event_text(&e, "%s", text);
    return event_emit(j, r, service, &e);
}

/* ---- texts */

static void text_is_cut_at_a_character(void **state)
{
    (void)state;
    /* A character of each length, at each place around the cut. */
    static const char *const chars[] = {"x", "ü", "€", "\xf0\x9f\x8e\x89"};
    for (size_t c = 0; c < ARRAY_LEN(chars); c++)
        for (size_t before = EVENT_TEXT_SIZE - 10; before < EVENT_TEXT_SIZE + 5; before++) {
            char text[EVENT_TEXT_SIZE + 100];
            memset(text, 'a', before);
            text[before] = 0;
            for (int i = 0; i < 20; i++)
                strcat(text, chars[c]);
            struct event e = {0};
            event_text(&e, "%s", text);
            size_t len = strlen(e.text);
            assert_true(len < EVENT_TEXT_SIZE && len >= EVENT_TEXT_SIZE - 5);
            assert_memory_equal(e.text, text, len);
            assert_true(((unsigned char)text[len] & 0xc0) != 0x80); /* nothing is cut in two */
        }
}

static void text_that_fits_is_kept_whole(void **state)
{
    (void)state;
    char text[EVENT_TEXT_SIZE];
    memset(text, 'a', sizeof text - 1);
    memcpy(text + sizeof text - 3, "ü", 2);
    text[sizeof text - 1] = 0;
    struct event e = {0};
    event_text(&e, "%s", text);
    assert_string_equal(e.text, text);
    event_text(&e, "%d of %s", 3, "it");
    assert_string_equal(e.text, "3 of it");
}

static void kinds_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < EVENT_KINDS; i++)
        assert_int_equal(event_kind_named(event_kind_name((enum event_kind)i)), i);
    assert_int_equal(event_kind_named("nothing"), EVENT_KINDS);
}

static void one_event_as_json(void **state)
{
    (void)state;
    struct buf b = {0};
    struct event e = make_event(EVENT_EXIT);
    e.seq = 7;
    e.cause = 3;
    e.pid = 42;
    e.code = 3;
    e.duration_ms = 1005;
    e.count = 2;
    event_text(&e, "a \"quoted\"\nline");
    event_json(&b, "na\"me", &e);
    assert_string_equal(b.data, "{\"seq\":7,\"time\":1767225600.123,\"mono\":5.007,\"service\":\"na\\\"me\","
                                "\"kind\":\"exit\",\"cause\":3,\"pid\":42,\"code\":3,\"duration\":1.005,\"count\":2,"
                                "\"text\":\"a \\\"quoted\\\"\\nline\"}");
    buf_clear(&b);
    e = make_event(EVENT_EXIT);
    e.seq = 8;
    e.code = -1;
    e.signal = SIGSEGV;
    event_json(&b, NULL, &e);
    assert_string_equal(b.data, "{\"seq\":8,\"time\":1767225600.123,\"mono\":5.007,\"kind\":\"exit\","
                                "\"signal\":\"SIGSEGV\"}");
    buf_clear(&b);
    e = make_event(EVENT_EXIT);
    e.seq = 9;
    event_json(&b, NULL, &e);
    assert_non_null(strstr(b.data, "\"code\":0")); /* a good end is one, too */
    buf_fini(&b);
}

/* ---- the journal */

static void lines_are_written_on_flush(void **state)
{
    (void)state;
    struct event_journal j;
    struct event_ring r = {0};
    mode_t old = umask(0);
    assert_int_equal(event_journal_open(&j, path, BIG), 0);
    umask(old);
    assert_int_equal(emit(&j, &r, "a", "one"), 1);
    assert_int_equal(emit(&j, &r, "b", "\x01\xff ü \\ \" \t"), 2);
    assert_int_equal(emit(&j, &r, NULL, ""), 3);
    assert_string_equal(read_file(path), "");
    assert_int_equal(event_journal_flush(&j), 0);
    assert_int_equal(count_lines(read_file(path)), 3);
    assert_int_equal(event_journal_flush(&j), 0);
    assert_int_equal(count_lines(read_file(path)), 3);
    emit(&j, &r, "a", "four");
    event_journal_close(&j); /* nothing gets lost by that */
    assert_int_equal(count_lines(read_file(path)), 4);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    event_ring_fini(&r);
}

static void goes_on_where_it_was(void **state)
{
    (void)state;
    struct event_journal j;
    struct event_ring r = {0};
    assert_int_equal(event_journal_open(&j, path, BIG), 0);
    emit(&j, &r, "a", "one");
    uint64_t last = j.last_seq;
    event_journal_close(&j);
    assert_int_equal(event_journal_open(&j, path, BIG), 0);
    assert_int_equal(emit(&j, &r, "a", "two"), last + 1);
    event_journal_close(&j);
    assert_int_equal(count_lines(read_file(path)), 2);
    event_ring_fini(&r);
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void numbers_go_on_whatever_lies_there(void **state)
{
    (void)state;
    static const struct {
        const char *file, *before; /* the journal, and the one put aside */
        uint64_t last;
    } cases[] = {
        {"", NULL, 0},
        {"", "{\"seq\":41,\"kind\":\"up\"}\n{\"seq\":42}\n", 42},
        {"{\"seq\":50}\n", "{\"seq\":42}\n", 50},
        {"{\"seq\":50}\n{\"seq\":51,\"te", NULL, 51},
        {"{\"seq\":150}\n{\"seq\":15", NULL, 150},
        {"{\"seq\":50,\"text\":\"{\\\"seq\\\":99}\"}\n", NULL, 50}, /* what a text says is no number */
        {"no journal at all\n", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        write_file(path, cases[i].file);
        unlink(rotated);
        if (cases[i].before)
            write_file(rotated, cases[i].before);
        struct event_journal j;
        struct event_ring r = {0};
        assert_int_equal(event_journal_open(&j, path, BIG), 0);
        assert_int_equal(emit(&j, &r, "a", "next"), cases[i].last + 1);
        event_journal_close(&j);
        event_ring_fini(&r);
    }
}

static void an_unfinished_line_is_ended(void **state)
{
    (void)state;
    write_file(path, "{\"seq\":1}\n{\"seq\":2,\"te");
    struct event_journal j;
    struct event_ring r = {0};
    assert_int_equal(event_journal_open(&j, path, BIG), 0);
    emit(&j, &r, "a", "after");
    event_journal_close(&j);
    char *text = read_file(path);
    static const char before[] = "{\"seq\":1}\n{\"seq\":2,\"te\n";
    assert_memory_equal(text, before, sizeof before - 1);
    assert_int_equal(count_lines(text + sizeof before - 1), 1);
    event_ring_fini(&r);
}

/* ---- listeners */

/* Notes what it hears; at event `at` it does something more. */
struct ear {
    struct event_listener listener;
    struct event_ring ring;
    struct event_journal *journal;
    struct buf heard;
    uint64_t at;
    struct ear *take_off, *put_on;
    int emits;
};

static void hear(struct event_listener *l, const char *service, const struct event *e)
{
    struct ear *ear = CONTAINER_OF(l, struct ear, listener);
    buf_addf(&ear->heard, "%s:%d ", service ? service : "-", (int)e->seq);
    if (e->seq != ear->at)
        return;
    if (ear->take_off)
        event_unlisten(ear->journal, &ear->take_off->listener);
    if (ear->put_on)
        event_listen(ear->journal, &ear->put_on->listener);
    for (int i = 0; i < ear->emits; i++)
        emit(ear->journal, &ear->ring, i % 2 ? NULL : "inner", "from inside");
}

/* Three ears on a journal without a file; the last one listens first. */
static void open_ears(struct event_journal *j, struct ear ears[3])
{
    *j = (struct event_journal){.fd = -1};
    for (int i = 2; i >= 0; i--) {
        ears[i] = (struct ear){.listener.event = hear, .journal = j};
        event_listen(j, &ears[i].listener);
    }
}

static void close_ears(struct event_journal *j, struct ear ears[3])
{
    for (int i = 0; i < 3; i++) {
        buf_fini(&ears[i].heard);
        event_ring_fini(&ears[i].ring);
    }
    event_journal_close(j);
}

static void listeners_are_told_at_once(void **state)
{
    (void)state;
    struct event_journal j;
    struct ear ears[3];
    open_ears(&j, ears);
    emit(&j, &ears[0].ring, "a", "one");
    emit(&j, &ears[0].ring, NULL, "two");
    for (int i = 0; i < 3; i++)
        assert_string_equal(buf_str(&ears[i].heard), "a:1 -:2 ");
    event_unlisten(&j, &ears[1].listener);
    event_unlisten(&j, &ears[1].listener);
    emit(&j, &ears[0].ring, "a", "three");
    assert_string_equal(buf_str(&ears[0].heard), "a:1 -:2 a:3 ");
    assert_string_equal(buf_str(&ears[1].heard), "a:1 -:2 ");
    assert_string_equal(buf_str(&ears[2].heard), "a:1 -:2 a:3 ");
    close_ears(&j, ears);
}

/* Whoever takes whomever off while an event is told: all others hear it once. */
static void listeners_may_be_taken_off_from_inside(void **state)
{
    (void)state;
    for (int by = 0; by < 3; by++)
        for (int off = 0; off < 3; off++) {
            struct event_journal j;
            struct ear ears[3];
            open_ears(&j, ears);
            ears[by].at = 2;
            ears[by].take_off = &ears[off];
            for (int i = 0; i < 3; i++)
                emit(&j, &ears[0].ring, "a", "something");
            for (int i = 0; i < 3; i++) {
                const char *expected = i != off ? "a:1 a:2 a:3 " : off > by ? "a:1 " : "a:1 a:2 ";
                assert_string_equal(buf_str(&ears[i].heard), expected);
            }
            close_ears(&j, ears);
        }
}

static void a_listener_from_inside_hears_the_next_event(void **state)
{
    (void)state;
    struct event_journal j;
    struct ear ears[3], late = {.listener.event = hear, .journal = &j};
    open_ears(&j, ears);
    ears[1].at = 1;
    ears[1].put_on = &late;
    emit(&j, &ears[0].ring, "a", "one");
    emit(&j, &ears[0].ring, "a", "two");
    assert_string_equal(buf_str(&late.heard), "a:2 ");
    buf_fini(&late.heard);
    close_ears(&j, ears);
}

static void events_from_inside_are_told_in_their_order(void **state)
{
    (void)state;
    for (int by = 0; by < 3; by++) {
        struct event_journal j;
        struct ear ears[3];
        open_ears(&j, ears);
        ears[by].at = 1;
        ears[by].emits = 2;
        ears[(by + 1) % 3].at = 2;
        ears[(by + 1) % 3].emits = 1;
        emit(&j, &ears[0].ring, "a", "one");
        emit(&j, &ears[0].ring, "a", "five");
        for (int i = 0; i < 3; i++)
            assert_string_equal(buf_str(&ears[i].heard), "a:1 inner:2 -:3 inner:4 a:5 ");
        close_ears(&j, ears);
    }
}

static void a_full_journal_is_put_aside(void **state)
{
    (void)state;
    struct event_journal j;
    struct event_ring r = {0};
    assert_int_equal(event_journal_open(&j, path, 1000), 0);
    for (int i = 0; i < 100; i++) {
        emit(&j, &r, "a", "a line of some length, to fill the file up");
        assert_int_equal(event_journal_flush(&j), 0);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size < 1000 + 200);
        assert_int_equal(st.st_size, j.size);
    }
    uint64_t last = 0, first_new = 0;
    sscanf(strrchr(read_file(rotated), '{'), "{\"seq\":%" SCNu64, &last);
    assert_true(count_lines(read_file(rotated)) > 5);
    sscanf(read_file(path), "{\"seq\":%" SCNu64, &first_new);
    assert_int_equal(first_new, last + 1); /* nothing in between */
    count_lines(read_file(path));
    assert_non_null(strstr(read_file(path), "\"seq\":100,"));
    event_journal_close(&j);
    event_ring_fini(&r);
}

static void a_missing_folder_is_tried_again(void **state)
{
    (void)state;
    char sub[128], file[160];
    snprintf(sub, sizeof sub, "%s/run", dir);
    snprintf(file, sizeof file, "%s/journal", sub);
    struct event_journal j;
    struct event_ring r = {0};
    assert_int_equal(event_journal_open(&j, file, BIG), -ENOENT);
    assert_int_equal(emit(&j, &r, "a", "one"), 1);
    assert_int_equal(event_journal_flush(&j), -ENOENT); /* told once */
    emit(&j, &r, "a", "two");
    assert_int_equal(event_journal_flush(&j), 0);
    struct event kept;
    assert_true(event_ring_find(&r, 2, &kept));
    assert_string_equal(kept.text, "two");
    assert_int_equal(mkdir(sub, 0700), 0);
    emit(&j, &r, "a", "three");
    assert_int_equal(event_journal_flush(&j), 0);
    assert_int_equal(count_lines(read_file(file)), 3);
    assert_int_equal(j.lost, 0);
    event_journal_close(&j);
    unlink(file);
    rmdir(sub);
    event_ring_fini(&r);
}

static void a_full_disk_is_told_once_and_memory_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(symlink("/dev/full", path), 0);
    struct event_journal j;
    struct event_ring r = {0};
    assert_int_equal(event_journal_open(&j, path, BIG), 0);
    emit(&j, &r, "a", "one");
    assert_int_equal(event_journal_flush(&j), -ENOSPC);
    size_t most = 0;
    for (int i = 0; i < 20000; i++) {
        emit(&j, &r, "a", "a line of some length, for which there is no room anywhere, again and again");
        if (i % 1000 == 0)
            assert_int_equal(event_journal_flush(&j), 0);
        most = MAX(most, j.pending.len);
    }
    assert_true(most < 1100 * 1024);
    assert_true(j.lost > 1000);
    assert_int_equal(j.last_seq, 20001); /* numbers go on all the same */
    count_lines(j.pending.data);         /* what is kept is whole */
    event_journal_close(&j);
    event_ring_fini(&r);
}

/* A disk that takes only a part of a line: the rest follows when there is room again. */
static void a_line_begun_is_finished_later(void **state)
{
    (void)state;
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct event_journal j;
    struct event_ring r = {0};
    assert_int_equal(event_journal_open(&j, path, BIG), 0);
    for (int i = 0; i < 10; i++)
        emit(&j, &r, "a", "a line of some length");
    small = (struct rlimit){150, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int first = event_journal_flush(&j);
    int second = event_journal_flush(&j);
    emit(&j, &r, "a", "meanwhile");
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_true(first < 0);
    assert_int_equal(second, 0); /* told already */
    assert_int_equal(j.size, 150);
    assert_int_equal(event_journal_flush(&j), 0);
    assert_int_equal(count_lines(read_file(path)), 11);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, j.size);
    event_journal_close(&j);
    event_ring_fini(&r);
}

/* The same when the file is due to be put aside meanwhile: no line may be torn in two. */
static void a_line_begun_is_finished_in_its_own_file(void **state)
{
    (void)state;
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct event_journal j;
    struct event_ring r = {0};
    assert_int_equal(event_journal_open(&j, path, 100), 0);
    for (int i = 0; i < 10; i++)
        emit(&j, &r, "a", "a line of some length");
    small = (struct rlimit){150, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    event_journal_flush(&j);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(event_journal_flush(&j), 0);
    emit(&j, &r, "a", "the next");
    assert_int_equal(event_journal_flush(&j), 0);
    event_journal_close(&j);
    int lines = count_lines(read_file(path));
    char *before = read_file(rotated);
    assert_non_null(before);
    assert_int_equal(lines + count_lines(before), 11);
    event_ring_fini(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(text_is_cut_at_a_character),
        TEST(text_that_fits_is_kept_whole),
        TEST(kinds_have_names),
        TEST(one_event_as_json),
        TEST(lines_are_written_on_flush),
        TEST(goes_on_where_it_was),
        TEST(numbers_go_on_whatever_lies_there),
        TEST(an_unfinished_line_is_ended),
        TEST(listeners_are_told_at_once),
        TEST(listeners_may_be_taken_off_from_inside),
        TEST(a_listener_from_inside_hears_the_next_event),
        TEST(events_from_inside_are_told_in_their_order),
        TEST(a_full_journal_is_put_aside),
        TEST(a_missing_folder_is_tried_again),
        TEST(a_full_disk_is_told_once_and_memory_is_bounded),
        TEST(a_line_begun_is_finished_later),
        TEST(a_line_begun_is_finished_in_its_own_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
