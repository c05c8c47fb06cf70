/* The program's own memory: what is not in use goes back to the kernel. */
#include "memory.h"

#include "base.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCKS 4000
#define BLOCK 2000 /* bytes */
#define DEEP (200 * 1024)

/* The sum of a field, in KiB, over the mappings of that name; "": over all. */
static long field_kib(const char *name, const char *field)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    bool within = false;
    long kib, sum = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            within = strstr(line, name) != NULL;
        else if (within && !strncmp(line, field, strlen(field)) && sscanf(line + strlen(field), "%ld", &kib) == 1)
            sum += kib;
    }
    fclose(f);
    return sum;
}

/* What this process has of them for itself. */
static long resident_kib(const char *name)
{
    return field_kib(name, "Private_Dirty:");
}

static void what_a_library_was_loaded_with_is_given_back(void **state)
{
    (void)state;
    assert_int_equal(field_kib("libgnutls", "Rss:"), 0);
    void *library = dlopen("libmicrohttpd.so.12", RTLD_LAZY | RTLD_LOCAL);
    assert_non_null(library);
    long loaded = field_kib("libgnutls", "Rss:"), own = field_kib("libc.so", "Rss:");
    memory_trim_loaded();
    assert_true(loaded > 500);
    assert_true(field_kib("libgnutls", "Rss:") < loaded / 2);
    assert_true(field_kib("libc.so", "Rss:") >= own);
    dlclose(library);
}

static void free_heap_is_given_back(void **state)
{
    (void)state;
    static char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, BLOCK);
    }
    long full = resident_kib("");
    for (size_t i = 0; i < BLOCKS; i++) {
        if (i % 100) /* those that stay hold the heap's end where it is */
            free(blocks[i]);
    }
    long before = resident_kib("");
    memory_trim();
    long after = resident_kib("");
    assert_true(before > full - BLOCKS * BLOCK / 1024 / 4);
    assert_true(after < full - BLOCKS * BLOCK / 1024 / 2);
    for (size_t i = 0; i < BLOCKS; i += 100)
        free(blocks[i]);
}

__attribute__((noinline)) static int use_stack(int n)
{
    volatile char deep[DEEP];
    for (size_t i = 0; i < DEEP; i += 512)
        deep[i] = (char)n;
    return deep[DEEP / 2];
}

static void unused_stack_is_given_back(void **state)
{
    (void)state;
    assert_int_equal(use_stack(7), 7);
    long before = resident_kib("[stack]");
    memory_trim();
    assert_true(before >= DEEP / 1024);
    assert_true(resident_kib("[stack]") < before - DEEP / 1024 / 2);
    assert_int_equal(use_stack(8), 8); /* and is there again */
}

static void *alloc_some(void *arg)
{
    (void)arg;
    return malloc(1000);
}

/* A heap of its own for each thread would keep what that thread once used. */
static void threads_share_the_heap(void **state)
{
    (void)state;
    pthread_t t;
    void *of_main = malloc(1000), *of_thread;
    assert_int_equal(pthread_create(&t, NULL, alloc_some, NULL), 0);
    assert_int_equal(pthread_join(t, &of_thread), 0);
    assert_true(of_main && of_thread);
    /* Other heaps are mapped far from the first one. */
    ptrdiff_t apart = (char *)of_main - (char *)of_thread;
    assert_true(labs(apart) < 64 * 1024 * 1024);
    free(of_main);
    free(of_thread);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_library_was_loaded_with_is_given_back),
        cmocka_unit_test(threads_share_the_heap),
        cmocka_unit_test(free_heap_is_given_back),
        cmocka_unit_test(unused_stack_is_given_back),
    };
#ifdef FM_SANITIZED
    return 0; /* its heap and stacks are its own */
#endif
    memory_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
