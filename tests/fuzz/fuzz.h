/* What the fuzz targets share. Each gives LLVMFuzzerTestOneInput, which libFuzzer calls with one input after the other;
 * it must return 0, and whatever it has done must leave no trace for the next. */
#ifndef FM_FUZZ_H
#define FM_FUZZ_H

#include "base.h"
#include "utf8.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What holds for any input. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A copy with a NUL behind it, and nothing more: the sanitizer sees whoever reads further. The caller frees it. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    MUST(text);
    memcpy(text, data, size);
    text[size] = 0;
    return text;
}

/* Cuts the input at its first newline that has nothing but a '%' on its line: so a person can edit what has several
 * parts. Returns the first part and moves on; what is left is the second. */
static inline char *fuzz_part(const uint8_t **data, size_t *size)
{
    static const char mark[] = "\n%\n";
    const uint8_t *at = memmem(*data, *size, mark, sizeof mark - 1);
    size_t n = at ? (size_t)(at - *data) : *size;
    char *part = fuzz_text(*data, n);
    n += at ? sizeof mark - 1 : 0;
    *data += n;
    *size -= n;
    return part;
}

/* Whether it is written as JSON just as it is: else it is replaced by what stands for it. NULL is. */
static inline bool fuzz_is_utf8(const char *text)
{
    size_t left = text ? strlen(text) : 0;
    for (size_t n = 1; left && n; text += n, left -= n)
        n = utf8_len(text, left);
    return !left;
}

/* A folder of this process alone, the same each time. `run` says where, and removes it. */
static inline const char *fuzz_dir(void)
{
    static char dir[64];
    if (dir[0])
        return dir;
    const char *in = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/fm-fuzz-XXXXXX", in ? in : "/tmp");
    MUST(mkdtemp(dir));
    return dir;
}

static inline void fuzz_write(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "w");
    MUST(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

#endif
