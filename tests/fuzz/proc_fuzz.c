/* The readers of /proc: a folder that looks like it, with one process. Parts: stat, status, cmdline, environ. */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static char folder[96];

static DIR *open_folder(void)
{
    return opendir(folder);
}

static FILE *open_status(const char *mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/7/status", folder);
    return fopen(path, mode);
}

/* Instead of the real one. */
#define opendir(path) open_folder()
#define fopen(path, mode) open_status(mode)
#include "procfs.c" // NOLINT: its own functions, which ask for a folder by its name
#undef opendir
#undef fopen

static void write_part(const char *name, const uint8_t **data, size_t *size)
{
    char path[128];
    const uint8_t *at = *data;
    char *part = fuzz_part(data, size);
    size_t n = (size_t)(*data - at);
    snprintf(path, sizeof path, "%s/7/%s", folder, name);
    fuzz_write(path, at, n > 3 && *size ? n - 3 : n);
    free(part);
}

static void make_folder(void)
{
    char path[128];
    snprintf(folder, sizeof folder, "%s/proc", fuzz_dir());
    MUST(!mkdir(folder, 0700));
    snprintf(path, sizeof path, "%s/7", folder);
    MUST(!mkdir(path, 0700));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"stat", "status", "cmdline", "environ"};
    struct procfs_table t;
    if (!folder[0])
        make_folder();
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        write_part(names[i], &data, &size);
    struct procfs_known known = {.pid = 7, .start_ticks = 123456};
    procfs_scan("MARK", &known, size % 2, NULL, &t);
    MUST(t.count <= 1 && (t.count == 0 || procfs_table_find(&t, 7) == t.entries));
    for (size_t i = 0; i < t.count; i++) {
        const struct procfs_entry *e = &t.entries[i];
        MUST(!e->marker || strlen(e->marker) < 1 << 20);
        MUST(!e->cmdline || (e->cmdline_len > 0 && e->cmdline[e->cmdline_len] == 0));
        (void)procfs_start_ms(e->stat.start_ticks);
    }
    procfs_table_fini(&t);
    for (int sig = 1; sig <= 64; sig += 21)
        (void)procfs_catches(7, sig);
    return 0;
}
