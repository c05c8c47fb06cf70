/* The allocator of a Lua state: counts, caps, and knows what is large. One instruction of Lua may copy, compare or walk
 * through all of a large thing, so as long as there are such things the budget is looked at more often. */
#ifndef FM_HEAP_H
#define FM_HEAP_H

#include "base.h"

struct heap {
    size_t used;       /* bytes */
    size_t limit;      /* bytes; 0: none */
    size_t string_max; /* bytes that one string may have; 0: any */
    bool generous;     /* nothing is refused but what malloc refuses */
    int large;         /* strings and other blocks that are large */

    /* Told when the first large one comes, and before a refusal: Lua then collects all garbage and asks once more. May
     * be NULL. Called in the middle of Lua's work: it may look at the state, set a hook, and nothing else. */
    void (*on_pressure)(struct heap *heap, bool refused, bool for_string);

    /* Asked before a block that is not small is made or grows: whether the time is over, and it is refused. What grows
     * step by step inside one instruction meets nothing else that would stop it. May be NULL. */
    bool (*is_late)(struct heap *heap);
};

/* A lua_Alloc; data is the heap. */
void *heap_alloc(void *data, void *ptr, size_t old_size, size_t size);

#endif
