/* The command line's reader of HTTP answers: what comes in pieces means the same as in one. */
#include "fuzz.h"

#include "answer.h"
#include "buf.h"

static int keep(void *arg, const char *data, size_t len)
{
    buf_add(arg, data, len);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct answer one, many;
    struct buf first = {0}, second = {0};
    char *text = fuzz_text(data, size);
    int a, b = 0;
    answer_init(&one, keep, &first);
    answer_init(&many, keep, &second);
    a = answer_feed(&one, text, size);
    for (size_t i = 0, n; i < size && !b; i += n) {
        n = MIN(size - i, 1 + i % 7);
        b = answer_feed(&many, text + i, n);
    }
    MUST(a == b && one.state == many.state && one.status == many.status && one.exit_code == many.exit_code);
    MUST(answer_is_whole(&one) == answer_is_whole(&many));
    MUST(a || (first.len == second.len && !memcmp(buf_str(&first), buf_str(&second), first.len)));
    buf_fini(&first);
    buf_fini(&second);
    free(text);
    return 0;
}
