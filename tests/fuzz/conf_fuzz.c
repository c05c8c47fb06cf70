/* The text of conf.json: comments, places of errors, decoding, judging; and the command lines that come of it. */
#include "fuzz.h"

#include "conf.h"
#include "confload.h"
#include "jsontext.h"
#include "launch.h"
#include "vm.h"

/* Work on text that need not be JSON at all. */
static void look_at_text(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    size_t bad = 0, first = 0, second = 0, at = 0;
    int line = 0, column = 0;
    struct buf path = {0};
    struct jsonpath_step steps[] = {{.key = "dev", .len = 3}, {.key = "svrs", .len = 4}, {.key = "a", .len = 1}};
    if (!jsontext_blank(text, size, &bad))
        MUST(bad < size);
    MUST(strlen(text) <= size);
    if (jsontext_open_string(text, size, &at))
        MUST(at < size);
    jsontext_position(text, size, size / 2, &line, &column);
    MUST(line >= 1 && column >= 1);
    MUST(jsontext_find(text, size, steps, ARRAY_LEN(steps), &at) <= ARRAY_LEN(steps) && at <= size);
    if (jsontext_duplicate(text, size, &first, &second) == -EEXIST)
        MUST(first < second && second < size);
    jsontext_path_at(text, size, size / 2, &path);
    buf_fini(&path);
    free(text);
}

static void look_at_commands(const struct conf *conf)
{
    for (size_t i = 0; i < conf->nsvrs; i++) {
        struct cmdline cmd;
        struct err err = {0};
        bool ok = launch_cmdline(conf, &conf->svrs[i], &cmd, &err);
        MUST(ok == !err.text[0]);
        if (ok)
            cmdline_fini(&cmd);
        free(launch_log_path(conf, &conf->svrs[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    struct vm *vm = vm_new(64, &err);
    char *text = fuzz_text(data, size), *warnings = NULL;
    MUST(vm);
    look_at_text(data, size);
    const struct confload_input in = {.home = "/nonexistent", .env = "dev", .text = text};
    struct conf *conf = confload(vm_state(vm), &in, &warnings, &err);
    MUST(!conf == !!err.text[0]);
    if (conf)
        look_at_commands(conf);
    conf_free(conf);
    free(warnings);
    free(text);
    vm_free(vm);
    return 0;
}
