#include "heap.h"

#include <lua.h>

#include <stdlib.h>
#include <string.h>

#define LARGE_STRING ((size_t)16 << 10) /* a hundred comparisons of such take 10 ms at worst */
#define SMALL_BLOCK ((size_t)64 << 10)  /* room for 4096 values: to be moved at each of as many steps takes 5 ms */
#define LARGE_BLOCK ((size_t)256 << 10) /* of tables: a hundred walks through one take 10 ms */

/* Only when a block is made does Lua say that it is a string. So a large one lies 8 bytes off the multiple of 16 that
 * malloc gives; Lua needs multiples of 8. Strings never change their size. */
#define STRING_OFFSET 8

static bool is_large_string(const void *ptr)
{
    return (uintptr_t)ptr % 16 == STRING_OFFSET;
}

static void grow_large(struct heap *h)
{
    if (h->large++ == 0 && h->on_pressure)
        h->on_pressure(h, false, false);
}

static void *refuse(struct heap *h, bool for_string)
{
    if (h->on_pressure)
        h->on_pressure(h, true, for_string);
    return NULL;
}

static void release(struct heap *h, void *ptr, size_t size)
{
    h->used -= size;
    if (is_large_string(ptr)) {
        h->large--;
        ptr = (char *)ptr - STRING_OFFSET;
    } else if (size > LARGE_BLOCK) {
        h->large--;
    }
    free(ptr);
}

static void *large_string(struct heap *h, size_t size)
{
    if (h->string_max && size > h->string_max && !h->generous)
        return refuse(h, true);
    char *mem = malloc(size + STRING_OFFSET);
    if (!mem)
        return refuse(h, true);
    h->used += size;
    grow_large(h);
    return mem + STRING_OFFSET;
}

static bool may_grow(struct heap *h, size_t old, size_t size)
{
    if (h->limit && h->used + (size - old) > h->limit)
        return false;
    return size <= SMALL_BLOCK || !h->is_late || !h->is_late(h);
}

void *heap_alloc(void *data, void *ptr, size_t old_size, size_t size)
{
    struct heap *h = data;
    size_t old = ptr ? old_size : 0; /* without ptr it is the kind of the object */
    if (size == 0) {
        if (ptr)
            release(h, ptr, old);
        return NULL;
    }
    if (size > old && !h->generous && !may_grow(h, old, size))
        return refuse(h, false);
    if (!ptr && old_size == LUA_TSTRING && size > LARGE_STRING)
        return large_string(h, size);
    void *mem = realloc(ptr, size);
    if (!mem && size > old)
        return refuse(h, false);
    h->used = h->used - old + size;
    if (size > LARGE_BLOCK && old <= LARGE_BLOCK)
        grow_large(h);
    h->large -= size <= LARGE_BLOCK && old > LARGE_BLOCK;
    return mem ? mem : ptr; /* Lua takes it for granted that shrinking never fails */
}
