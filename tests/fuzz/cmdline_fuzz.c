/* Command lines and environ statements: split, and resolved to what is executed. Parts: command line, environ of the
 * env, environ of the service. */
#include "fuzz.h"

#include "cmdline.h"
#include "environ.h"
#include "shlex.h"

/* Every token lies in the text, behind the one before. */
static void split(const char *text)
{
    struct shlex lx = {.at = text, .start = text};
    struct shlex_token tok;
    struct err err = {0};
    const char *end = text + strlen(text), *last = text;
    while (shlex_next(&lx, &tok, &err)) {
        if (tok.kind == SHLEX_END)
            return;
        MUST(tok.text >= last && tok.len > 0 && tok.text + tok.len <= end && lx.at <= end);
        last = tok.text + tok.len;
        if (tok.kind != SHLEX_WORD)
            continue;
        char *word = shlex_unquote(&tok);
        MUST(word && strlen(word) <= tok.len && shlex_assigned_name(&tok) <= tok.len);
        MUST(tok.quoted || tok.expands || (strlen(word) == tok.len && shlex_is(&tok, word)));
        free(word);
    }
    MUST(err.text[0]);
}

static void export(const char *a, const char *b)
{
    struct environ e = {0};
    struct err err = {0};
    bool ok = environ_add(&e, a, &err) && environ_add(&e, b, &err);
    MUST(ok == !err.text[0]);
    for (size_t i = 0; ok && i < e.nenv; i++)
        MUST(strchr(e.env[i], '='));
    environ_fini(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char map[] = "K=V", *env[] = {map, NULL};
    char *cmd = fuzz_part(&data, &size), *global = fuzz_part(&data, &size), *own = fuzz_part(&data, &size);
    const struct cmdline_input in = {
        .cmd = cmd, .rootpath = "/nonexistent/root", .path = "/bin", .environs = {global, own}, .env = env};
    struct cmdline out;
    struct err err = {0};
    split(cmd);
    export(global, own);
    bool ok = cmdline_resolve(&in, &out, &err);
    MUST(ok == !err.text[0]);
    if (ok) {
        MUST(out.argv && out.argv[0] && out.argv[0][0] == '/' && out.dir && out.dir[0] == '/');
        MUST(out.way != CMDLINE_DIRECT || (out.exe && out.exe[0] == '/'));
        cmdline_fini(&out);
    }
    free(cmd);
    free(global);
    free(own);
    return 0;
}
