#include "console_files.h"

#include "console_intent.h"
#include "console_path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int older_first(const void *a, const void *b)
{
    const struct console_file *x = a, *y = b;
    if (x->time_s != y->time_s)
        return x->time_s < y->time_s ? -1 : 1;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    unsigned p = x->part - 1, q = y->part - 1; /* the day's own, 0, comes last */
    return p < q ? -1 : p > q;
}

static int add(struct console_files *f, const char *name, const struct stat *st, unsigned part)
{
    if (!(f->count & (f->count - 1))) {
        struct console_file *items = realloc(f->items, (f->count ? f->count * 2 : 1) * sizeof *items);
        if (!items)
            return -ENOMEM;
        f->items = items;
    }
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    f->items[f->count++] = (struct console_file){
        .name = copy, .size = st->st_size, .time_s = st->st_mtim.tv_sec, .time_ns = st->st_mtim.tv_nsec, .part = part};
    return 0;
}

static int read_folder(struct console_files *f, const struct console_name *n, DIR *dir)
{
    int r = 0;
    for (const struct dirent *e; !r && (e = readdir(dir));) {
        struct stat st;
        unsigned part;
        if (strncmp(e->d_name, n->base, n->stem) != 0 || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        if (console_name_is_ours(n, e->d_name, &st, &part))
            r = add(f, e->d_name, &st, part);
    }
    return r;
}

/* Lines that were copied, but are in the log still. */
static void leave_out_copied(struct console_files *f, const struct console_name *n, int dirfd,
                             const struct console_front *front)
{
    struct console_intent in;
    char file[NAME_MAX + 1];
    if (console_name_intent(n, file) || !console_intent_read(dirfd, file, &in) || in.id == front->id ||
        in.at != front->at)
        return;
    for (size_t i = 0; i < f->count; i++)
        if (!strcmp(f->items[i].name, in.file) && f->items[i].size > MAX(in.append_at, 0))
            f->items[i].size = MAX(in.append_at, 0);
}

int console_files_find(struct console_files *f, const struct console_name *n, const struct console_front *front)
{
    *f = (struct console_files){0};
    int fd = console_path_folder(n->dir, O_RDONLY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int r = fd < 0 ? fd : -errno;
        if (fd >= 0)
            close(fd);
        return r;
    }
    int r = read_folder(f, n, dir);
    if (!r && front)
        leave_out_copied(f, n, fd, front);
    closedir(dir);
    if (r)
        console_files_fini(f);
    else if (f->count > 1)
        qsort(f->items, f->count, sizeof *f->items, older_first);
    return r;
}

void console_files_fini(struct console_files *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->items[i].name);
    free(f->items);
    *f = (struct console_files){0};
}
