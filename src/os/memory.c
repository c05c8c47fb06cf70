#include "memory.h"

#include "base.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE (64 * 1024)        /* bytes; what is as large has pages of its own */
#define STACK_KEPT (16 * 1024)   /* bytes below the caller that are left alone */
#define STACK_DEPTH (256 * 1024) /* no deeper does the stack go; Linux keeps more than that free below it */

/* Of these objects (the program, and each library) the first ones are passed over. */
struct dropping {
    uintptr_t page;
    int spared, seen;
};

static int own_objects; /* how many there were at the beginning */

static int count_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)info;
    (void)size;
    ++*(int *)arg;
    return 0;
}

void memory_begin(void)
{
    /* Said here so that it stays: malloc would raise the limit to the largest block that was ever freed, and such
     * blocks would then leave holes in the heap. */
    mallopt(M_MMAP_THRESHOLD, LARGE);
    mallopt(M_TRIM_THRESHOLD, LARGE);
    mallopt(M_ARENA_MAX, 1); /* threads do little here, and what one frees is to be of use to all */
    own_objects = 0;
    dl_iterate_phdr(count_object, &own_objects);
}

static uintptr_t page_size(void)
{
    return (uintptr_t)sysconf(_SC_PAGESIZE);
}

/* Read-only segments are the file's own pages: dropping them loses nothing. */
static int drop_clean(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    struct dropping *d = arg;
    uintptr_t page = d->page;
    if (d->seen++ < d->spared)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type != PT_LOAD || (h->p_flags & PF_W))
            continue;
        uintptr_t from = (info->dlpi_addr + h->p_vaddr) & ~(page - 1);
        uintptr_t to = (info->dlpi_addr + h->p_vaddr + h->p_memsz + page - 1) & ~(page - 1);
        madvise((void *)from, to - from, MADV_DONTNEED); /* where it can't be had, it can't */
    }
    return 0;
}

void memory_trim(void)
{
    uintptr_t page = page_size(), here = (uintptr_t)__builtin_frame_address(0) & ~(page - 1);
    malloc_trim(0);
    /* Some of it may never have been touched: that part is passed over. */
    madvise((void *)(here - STACK_DEPTH), STACK_DEPTH - STACK_KEPT, MADV_DONTNEED);
}

void memory_trim_start(void)
{
    struct dropping all = {.page = page_size()};
    memory_trim();
    dl_iterate_phdr(drop_clean, &all);
}

void memory_trim_loaded(void)
{
    struct dropping later = {.page = page_size(), .spared = own_objects};
    dl_iterate_phdr(drop_clean, &later);
}
