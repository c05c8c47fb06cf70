#include "console_name.h"

#include "day.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARTS_MAX 10000000
#define ODD_DAYS 20      /* a file whose time does not fit its name is of the same period within this */
#define PERIOD_DAYS 1000 /* no name lasts longer */

int console_name_init(struct console_name *n, const char *path, const char *format, char *const *others)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    *n = (struct console_name){.format = format, .others = others};
    n->dir = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
    n->base = strdup(base);
    if (!n->dir || !n->base) {
        console_name_fini(n);
        return -ENOMEM;
    }
    const char *dot = strrchr(n->base, '.');
    n->ext = dot && dot != n->base ? dot : n->base + strlen(n->base);
    n->stem = (size_t)(n->ext - n->base);
    return 0;
}

void console_name_fini(struct console_name *n)
{
    free(n->dir);
    free(n->base);
    *n = (struct console_name){0};
}

int console_name_make(const struct console_name *n, int64_t day, unsigned part, char out[NAME_MAX + 1])
{
    char name[CONSOLE_DAY_SIZE], number[16] = "";
    if (!day_name(day, n->format, name, sizeof name))
        return -ENAMETOOLONG;
    if (part)
        snprintf(number, sizeof number, ".%u", part);
    int len = snprintf(out, NAME_MAX + 1, "%.*s.%s%s%s", (int)n->stem, n->base, name, number, n->ext);
    return len > NAME_MAX ? -ENAMETOOLONG : 0;
}

static int make_hidden(const struct console_name *n, const char *ending, char out[NAME_MAX + 1])
{
    return snprintf(out, NAME_MAX + 1, ".%s.%s", n->base, ending) > NAME_MAX ? -ENAMETOOLONG : 0;
}

int console_name_intent(const struct console_name *n, char out[NAME_MAX + 1])
{
    return make_hidden(n, "rotating", out);
}

int console_name_copy(const struct console_name *n, char out[NAME_MAX + 1])
{
    return make_hidden(n, "part", out);
}

/* Is it STEM.DAY.EXT or STEM.DAY.N.EXT? */
static bool matches(const struct console_name *n, const char *file, const char *day, unsigned *part)
{
    size_t len = strlen(file), ext = strlen(n->ext), name = strlen(day);
    if (len < n->stem + 1 + name + ext || strncmp(file, n->base, n->stem) != 0 || file[n->stem] != '.' ||
        strncmp(file + n->stem + 1, day, name) != 0 || strcmp(file + len - ext, n->ext) != 0)
        return false;
    const char *rest = file + n->stem + 1 + name, *end = file + len - ext;
    *part = (unsigned)(rest < end ? strtoul(rest + 1, NULL, 10) : 0);
    if (rest == end)
        return true;
    size_t digits = strspn(rest + (*rest == '.'), "0123456789");
    return *rest == '.' && digits > 0 && rest + 1 + digits == end && rest[1] != '0';
}

/* The log of somebody else, whatever its name says. */
static bool is_taken(const struct console_name *n, const char *file)
{
    size_t dir = strlen(n->dir);
    for (char *const *p = n->others; p && *p; p++) {
        const char *slash = strrchr(*p, '/');
        if (slash && (size_t)(slash - *p) == (strcmp(n->dir, "/") ? dir : 0) &&
            !strncmp(*p, n->dir, (size_t)(slash - *p)) && !strcmp(slash + 1, file))
            return true;
    }
    return !strcmp(file, n->base);
}

static int64_t written_on(const struct stat *st)
{
    return day_of((int64_t)st->st_mtim.tv_sec * 1000);
}

bool console_name_is_ours(const struct console_name *n, const char *file, const struct stat *st, unsigned *part)
{
    char name[CONSOLE_DAY_SIZE];
    if (!S_ISREG(st->st_mode) || is_taken(n, file))
        return false;
    for (int64_t day = written_on(st), off = -1; off <= 1; off++)
        if (day_name(day + off, n->format, name, sizeof name) && matches(n, file, name, part))
            return true;
    return false;
}

/* Was it written in the period of that name to which `day` belongs? With "%-d" a period is a day, and the name comes
 * back a month later; with "%Y-%m" it is the month. */
static bool is_current(const struct console_name *n, const struct stat *st, int64_t day)
{
    char wanted[CONSOLE_DAY_SIZE], name[CONSOLE_DAY_SIZE];
    int64_t written = written_on(st), from = MIN(written, day), to = MAX(written, day);
    day_name(day, n->format, wanted, sizeof wanted);
    if (to - from > PERIOD_DAYS || !day_name(written, n->format, name, sizeof name))
        return false;
    if (strcmp(name, wanted) != 0)
        return to - from <= ODD_DAYS;
    for (int64_t d = from + 1; d < to; d++)
        if (!day_name(d, n->format, name, sizeof name) || strcmp(name, wanted) != 0)
            return false;
    return true;
}

enum occupant { NOBODY, STALE, CURRENT, FOREIGN };

static enum occupant look(const struct console_name *n, int dirfd, const char *file, int64_t day, struct stat *st)
{
    if (is_taken(n, file))
        return FOREIGN;
    if (fstatat(dirfd, file, st, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? NOBODY : FOREIGN;
    if (!S_ISREG(st->st_mode))
        return FOREIGN;
    return is_current(n, st, day) ? CURRENT : STALE;
}

static bool is_free(const struct console_name *n, int dirfd, int64_t day, unsigned part, char file[NAME_MAX + 1])
{
    struct stat st;
    return !console_name_make(n, day, part, file) && look(n, dirfd, file, day, &st) <= STALE;
}

/* The number after the highest in use. There may be thousands, so they are not counted one by one. */
static int place_part(const struct console_name *n, int dirfd, int64_t day, struct console_place *out)
{
    unsigned used = 0, unused = 1;
    int r = console_name_make(n, day, PARTS_MAX, out->file);
    if (r)
        return r;
    while (!is_free(n, dirfd, day, unused, out->file)) {
        used = unused;
        unused *= 2;
        if (unused > PARTS_MAX)
            return -EEXIST;
    }
    while (unused - used > 1) {
        unsigned middle = used + (unused - used) / 2;
        if (is_free(n, dirfd, day, middle, out->file))
            unused = middle;
        else
            used = middle;
    }
    out->part = unused;
    return console_name_make(n, day, unused, out->file);
}

static bool is_newer(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec != b->st_mtim.tv_sec ? a->st_mtim.tv_sec > b->st_mtim.tv_sec
                                                  : a->st_mtim.tv_nsec > b->st_mtim.tv_nsec;
}

int console_name_place(const struct console_name *n, int dirfd, int64_t day, bool part, struct console_place *out)
{
    struct stat own, last;
    char file[NAME_MAX + 1];
    *out = (struct console_place){.append_at = -1};
    int r = console_name_make(n, day, 0, out->file);
    enum occupant who = r || part ? FOREIGN : look(n, dirfd, out->file, day, &own);
    if (r || who <= STALE || (r = place_part(n, dirfd, day, out)))
        return r;
    if (who != CURRENT || own.st_nlink != 1)
        return 0;
    /* Appended to, unless there are lines in between (the clock was set back): their order is kept. */
    if (out->part > 1 && !console_name_make(n, day, out->part - 1, file) && !fstatat(dirfd, file, &last, 0) &&
        is_newer(&last, &own))
        return 0;
    out->part = 0;
    out->append_at = own.st_size;
    return console_name_make(n, day, 0, out->file);
}

void console_name_drop_stale(const struct console_name *n, int dirfd, int64_t day, const struct console_place *place)
{
    if (place->append_at >= 0 || place->part > 1) /* not the first of its day */
        return;
    enum occupant who = CURRENT;
    for (unsigned part = 0; who != NOBODY && part <= PARTS_MAX; part++) {
        char file[NAME_MAX + 1];
        struct stat st;
        if (console_name_make(n, day, part, file))
            return;
        who = look(n, dirfd, file, day, &st);
        if (who == STALE && strcmp(file, place->file) != 0)
            unlinkat(dirfd, file, 0);
        if (part == 0)
            who = CURRENT; /* numbered ones may be there all the same */
    }
}
