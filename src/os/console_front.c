#include "console_front.h"

#include "clock.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "--- earlier lines are in "
#define MIDDLE " --- rotated by fota_monitor "
#define TEXT_MAX 1024        /* of a banner, without what fills it up */
#define LENGTH_MAX (4 << 20) /* with it */
#define ZEROS_MAX (1 << 20)  /* looked through for a banner */
#define NUMBER_MAX (INT64_MAX / 4)

/* However many read, who takes a front away has its turn. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

/* Fronts that were moved. */
static pthread_mutex_t moved_lock = PTHREAD_MUTEX_INITIALIZER;
static struct moved {
    dev_t dev;
    ino_t inode;
    int64_t begin; /* 0: free */
} moved[8];

bool console_front_move(int fd, int64_t begin)
{
    struct stat st;
    struct moved *m = NULL;
    if (fstat(fd, &st))
        return false;
    pthread_mutex_lock(&moved_lock);
    for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
        bool same = moved[i].dev == st.st_dev && moved[i].inode == st.st_ino;
        m = same || (!m && !moved[i].begin) ? &moved[i] : m;
        if (same)
            break;
    }
    if (m)
        *m = (struct moved){st.st_dev, st.st_ino, MAX(begin, 0)};
    pthread_mutex_unlock(&moved_lock);
    return m;
}

static int64_t find_moved(int fd)
{
    struct stat st;
    int64_t begin = 0;
    if (fstat(fd, &st))
        return 0;
    pthread_mutex_lock(&moved_lock);
    for (size_t i = 0; i < ARRAY_LEN(moved); i++)
        if (moved[i].begin && moved[i].dev == st.st_dev && moved[i].inode == st.st_ino)
            begin = moved[i].begin;
    pthread_mutex_unlock(&moved_lock);
    return begin;
}

bool console_front_hold(bool wait)
{
    return (wait ? pthread_rwlock_rdlock(&lock) : pthread_rwlock_tryrdlock(&lock)) == 0;
}

void console_front_release(void)
{
    pthread_rwlock_unlock(&lock);
}

void console_front_lock(void)
{
    pthread_rwlock_wrlock(&lock);
}

void console_front_unlock(void)
{
    pthread_rwlock_unlock(&lock);
}

/* Where the hole at the front ends; 0 without one. */
static int64_t skip_hole(int fd, int64_t size)
{
    char first;
    if (size == 0 || pread(fd, &first, 1, 0) != 1 || first)
        return 0;
    off_t data = lseek(fd, 0, SEEK_DATA);
    return data > 0 ? MIN(data, size) : 0;
}

/* The first byte from there on that is not zero. */
static int64_t skip_zeros(int fd, int64_t pos, int64_t size)
{
    char block[4096];
    for (int64_t end = MIN(pos + ZEROS_MAX, size); pos < end;) {
        ssize_t n = pread(fd, block, sizeof block, pos), i = 0;
        while (i < n && !block[i])
            i++;
        pos += i;
        if (n <= 0 || i < n)
            break;
    }
    return pos;
}

static char *last_of(char *text, const char *part)
{
    char *found = NULL;
    for (char *p = text; (p = strstr(p, part)); p++)
        found = p;
    return found;
}

/* The text of a banner as numbers; false when it is none. */
static bool parse(char *text, struct console_front *f, int64_t *length)
{
    if (strncmp(text, HEAD, sizeof HEAD - 1) != 0)
        return false;
    char *eol = strchr(text, '\n');
    if (eol)
        *eol = 0;
    char *middle = last_of(text, MIDDLE), *comma = middle ? strchr(middle, ',') : NULL;
    int done = 0;
    if (!comma ||
        sscanf(comma, ", %16" SCNx64 " %19" SCNd64 " %19" SCNd64 " %19" SCNd64 " ---%n", &f->id, &f->at, &f->since_ms,
               length, &done) != 4 ||
        !done || !f->id || f->at < 0 || f->at > NUMBER_MAX || f->since_ms < 0)
        return false;
    *middle = 0;
    int n = snprintf(f->file, sizeof f->file, "%s", text + sizeof HEAD - 1);
    return n > 0 && n < (int)sizeof f->file && !strchr(f->file, '/');
}

/* The banner that begins there, if there is one. */
static bool read_at(int fd, int64_t begin, int64_t size, struct console_front *out)
{
    char text[TEXT_MAX + 1], last = 0;
    struct console_front f = {.begin = begin};
    int64_t length = 0;
    ssize_t n = begin < size ? pread(fd, text, TEXT_MAX, begin) : 0;
    if (n <= 0)
        return false;
    text[n] = 0;
    if (!parse(text, &f, &length) || length <= 0 || length > LENGTH_MAX || length > size - begin ||
        pread(fd, &last, 1, begin + length - 1) != 1 || last != '\n')
        return false;
    f.start = begin + length;
    *out = f;
    return true;
}

/* Zero bytes before a banner are a hole, whatever the file system calls them; without one a service has written them.
 */
void console_front_read(int fd, int64_t size, struct console_front *out)
{
    int64_t begin = find_moved(fd);
    if (begin && read_at(fd, begin, size, out))
        return;
    begin = skip_hole(fd, size);
    *out = (struct console_front){.begin = begin, .start = begin};
    if (read_at(fd, begin, size, out))
        return;
    int64_t text = skip_zeros(fd, begin, size);
    if (text > begin)
        read_at(fd, text, size, out);
}

bool console_front_has(int fd, int64_t begin, uint64_t id)
{
    char text[TEXT_MAX + 1];
    struct console_front f;
    int64_t length;
    ssize_t n = pread(fd, text, TEXT_MAX, begin);
    if (n <= 0)
        return false;
    text[n] = 0;
    return parse(text, &f, &length) && f.id == id;
}

/* A name may hold anything; a line must not. */
static void add_name(struct buf *b, const char *file)
{
    for (; *file; file++)
        buf_addc(b, (unsigned char)*file < ' ' ? '?' : *file);
}

static void add_text(struct buf *b, const struct console_front *f)
{
    char when[CLOCK_TEXT_SIZE];
    clock_text(f->since_ms, when);
    buf_adds(b, HEAD);
    add_name(b, f->file);
    buf_addf(b, MIDDLE "%s, %016" PRIx64 " %" PRId64 " %" PRId64 " %" PRId64 " ---", when, f->id, f->at, f->since_ms,
             f->start - f->begin);
}

size_t console_front_need(const char *file)
{
    return strlen(file) + sizeof HEAD + sizeof MIDDLE + CLOCK_TEXT_SIZE + 16 + 3 * 20 + 16;
}

void console_front_make(const struct console_front *f, struct buf *out)
{
    static const char blanks[] = "                                                                ";
    size_t length = (size_t)(f->start - f->begin);
    buf_clear(out);
    add_text(out, f);
    while (!out->failed && out->len + 1 < length)
        buf_add(out, blanks, MIN(sizeof blanks - 1, length - 1 - out->len));
    buf_addc(out, '\n');
}
