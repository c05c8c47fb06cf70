#include "consoles_memory.h"

#include "buf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (64 << 20)

static int by_path(const void *a, const void *b)
{
    const struct consoles_memory_item *x = a, *y = b;
    return strcmp(x->path, y->path);
}

/* One line, without its end. false when memory ran out. */
static bool take_line(struct consoles_memory *m, const char *line)
{
    struct consoles_memory_item item = {0};
    int at = 0;
    if (sscanf(line, "%" SCNd64 " %" SCNu64 " %" SCNu64 " %n", &item.since_ms, &item.dev, &item.inode, &at) != 3 ||
        line[at] != '/')
        return true;
    if (!(m->count & (m->count - 1))) {
        struct consoles_memory_item *items = realloc(m->items, (m->count ? m->count * 2 : 1) * sizeof *items);
        if (!items)
            return false;
        m->items = items;
    }
    item.path = strdup(line + at);
    if (item.path)
        m->items[m->count++] = item;
    return item.path;
}

static char *read_all(const char *file)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    char *text = NULL;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX && (text = malloc((size_t)st.st_size + 1))) {
        ssize_t n = read(fd, text, (size_t)st.st_size);
        text[MAX(n, 0)] = 0;
    }
    close(fd);
    return text;
}

void consoles_memory_read(struct consoles_memory *m, const char *file)
{
    *m = (struct consoles_memory){0};
    char *text = read_all(file);
    bool ok = true;
    for (char *line = text, *eol; ok && line && (eol = strchr(line, '\n')); line = eol + 1) {
        *eol = 0;
        ok = take_line(m, line);
    }
    free(text);
    if (m->count > 1)
        qsort(m->items, m->count, sizeof *m->items, by_path);
}

void consoles_memory_fini(struct consoles_memory *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->items[i].path);
    free(m->items);
    *m = (struct consoles_memory){0};
}

int64_t consoles_memory_since(const struct consoles_memory *m, const char *path, uint64_t dev, uint64_t inode)
{
    const struct consoles_memory_item key = {.path = (char *)(uintptr_t)path};
    const struct consoles_memory_item *found =
        m->count ? bsearch(&key, m->items, m->count, sizeof *m->items, by_path) : NULL;
    return found && found->dev == dev && found->inode == inode ? found->since_ms : 0;
}

int consoles_memory_write(const struct consoles_memory *m, const char *file)
{
    struct buf text = {0}, temp = {0};
    for (size_t i = 0; i < m->count; i++) {
        const struct consoles_memory_item *item = &m->items[i];
        if (!strchr(item->path, '\n'))
            buf_addf(&text, "%" PRId64 " %" PRIu64 " %" PRIu64 " %s\n", item->since_ms, item->dev, item->inode,
                     item->path);
    }
    buf_addf(&temp, "%s.new", file);
    int r = text.failed || temp.failed ? -ENOMEM : 0;
    int fd = r ? -1 : open(temp.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (!r && fd < 0)
        r = -errno;
    if (!r) {
        ssize_t n = write(fd, buf_str(&text), text.len);
        r = n < 0 ? -errno : (size_t)n < text.len ? -ENOSPC : 0;
    }
    if (fd >= 0)
        close(fd);
    if (!r && rename(temp.data, file))
        r = -errno;
    buf_fini(&text);
    buf_fini(&temp);
    return r;
}
