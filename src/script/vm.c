#include "vm.h"

#include "clock.h"
#include "heap.h"
#include "vmerror.h"

#include <lua.h>

#include <lauxlib.h>
#include <lua-cjson.h>
#include <lualib.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define LOOK_EVERY 100 /* instructions between two looks at the clock; 1 while there is anything large */
#define PLACE_SIZE 100
#define WALL_FACTOR 20                 /* a turn may take so many budgets of real time */
#define DESCRIBE_BYTES ((size_t)65536) /* more than the cap, to say that the cap was reached */
#define STRING_HEAD 64                 /* what Lua keeps before a string, and more */
#define OVER_BUDGET "over budget: more than %d ms in one turn"
#define CLOSE_DEPTH_MAX 8 /* each close may use all the C stack that Lua allows itself */

struct vm {
    lua_State *L;
    lua_State *running; /* the thread that runs, or NULL */
    struct heap heap;
    char place[PLACE_SIZE]; /* where memory was refused last: "lua/x.lua:3: " */
    bool refused_string;    /* and whether only for that string */

    int depth;   /* calls from C into Lua that are on */
    int closing; /* coroutines that are being closed, one inside the other */
    bool tripped;
    bool slow_to_collect;
    int64_t budget_ns; /* 0: none */
    int64_t began_ns;  /* monotonic */
    int64_t look_ns;   /* before that moment the budget can't be used up */
    int64_t cpu_ns;    /* processor time at the beginning; -1: not looked at yet */
    int64_t spent_ns;

    int64_t (*wall_ms)(void *arg);
    void *wall_arg;
};

/* What a state begins with. Anything that reaches files, processes or code is
 * not in the list; what scripts get of it comes with the scripts. */
static const luaL_Reg libraries[] = {
    {LUA_GNAME, luaopen_base},       {LUA_TABLIBNAME, luaopen_table}, {LUA_STRLIBNAME, luaopen_string},
    {LUA_MATHLIBNAME, luaopen_math}, {LUA_UTF8LIBNAME, luaopen_utf8}, {LUA_COLIBNAME, luaopen_coroutine},
};

static const char *const taken_out[] = {"dofile", "loadfile", "load"};

static const char seed_key; /* its address: math.randomseed in the registry, out of reach of scripts */

/* The word that each thread has for its owner: the vm, and whether scripts made the thread. */
static uintptr_t *word_of(lua_State *L)
{
    return lua_getextraspace(L);
}

static int64_t read_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Whether the turn is over its budget. Processor time takes a system call, so it is read only when a budget's worth of
 * real time may have used it up; what went before the first look counts as a quarter of the budget at most. */
static bool is_over(struct vm *vm)
{
    if (vm->tripped || !vm->budget_ns || vm->depth == 0)
        return vm->tripped && vm->depth > 0;
    int64_t now = read_ns(CLOCK_MONOTONIC);
    if (now < vm->look_ns)
        return false;
    int64_t cpu = read_ns(CLOCK_THREAD_CPUTIME_ID), wall = now - vm->began_ns;
    if (vm->cpu_ns < 0)
        vm->cpu_ns = cpu - MIN(wall, vm->budget_ns / 4);
    int64_t left = vm->budget_ns - (cpu - vm->cpu_ns);
    vm->look_ns = now + left;
    vm->tripped = left <= 0 || wall >= vm->budget_ns * WALL_FACTOR;
    return vm->tripped;
}

static void watch(lua_State *L);
static void on_tripped(lua_State *L, lua_Debug *ar);

/* The hook stays one that raises at each instruction. Level 0: the running function, 1: who called it. */
static void raise_tripped(lua_State *L, int level)
{
    const struct vm *vm = vm_of(L);
    lua_sethook(L, on_tripped, LUA_MASKCOUNT, 1);
    luaL_where(L, level);
    lua_pushfstring(L, OVER_BUDGET, (int)(vm->budget_ns / 1000000));
    lua_concat(L, 2);
    lua_error(L);
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    if (is_over(vm_of(L)))
        raise_tripped(L, 0);
    watch(L);
}

static int pace(const struct vm *vm)
{
    return vm->heap.large > 0 ? 1 : LOOK_EVERY;
}

static void watch(lua_State *L)
{
    int count = pace(vm_of(L));
    if (lua_gethook(L) != on_count || lua_gethookcount(L) != count)
        lua_sethook(L, on_count, LUA_MASKCOUNT, count);
}

/* A thread is about to run. Each counts its own instructions, so many that run little would never be looked at. */
static void watch_again(lua_State *L)
{
    if (is_over(vm_of(L)))
        lua_sethook(L, on_tripped, LUA_MASKCOUNT, 1);
    else
        watch(L);
}

/* The hook of a thread that was stopped. It may run again in a later turn. */
static void on_tripped(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    if (is_over(vm_of(L)))
        raise_tripped(L, 0);
    watch(L);
}

/* An error raised in a hook leaves hooks off for good in a coroutine it ends: nothing may run in that one again. */
static bool is_spoilt(lua_State *co)
{
    return lua_status(co) > LUA_YIELD && lua_gethook(co) == on_tripped;
}

void vm_look(struct lua_State *L)
{
    if (is_over(vm_of(L)))
        raise_tripped(L, 1);
}

/* The line of a script that leads to what is being done. */
static void note_place(struct vm *vm)
{
    lua_Debug ar;
    vm->place[0] = 0;
    if (vmerror_script_line(vm->running, &ar))
        snprintf(vm->place, PLACE_SIZE, "%s:%d: ", ar.short_src, ar.currentline);
}

/* The clock is looked at after this very instruction: large things have come, or all garbage was collected. */
static void on_pressure(struct heap *heap, bool refused, bool for_string)
{
    struct vm *vm = CONTAINER_OF(heap, struct vm, heap);
    if (!vm->running)
        return;
    if (refused) {
        note_place(vm);
        vm->refused_string = for_string;
    }
    if (lua_gethook(vm->running) == on_count)
        lua_sethook(vm->running, on_count, LUA_MASKCOUNT, 1);
}

/* A chain of __call makes room for one more argument at each link, and moves all others: in one instruction. Where no
 * line of a script runs, a file is compiled: its reader looks at the budget, and an error there has a traceback. */
static bool is_late(struct heap *heap)
{
    struct vm *vm = CONTAINER_OF(heap, struct vm, heap);
    lua_Debug ar;
    return vm->running && is_over(vm) && vmerror_script_line(vm->running, &ar);
}

static void enter(struct vm *vm)
{
    if (vm->depth++ > 0)
        return;
    vm->heap.string_max = vm->budget_ns ? VM_STRING_MAX + STRING_HEAD : 0;
    vm->tripped = false;
    vm->began_ns = read_ns(CLOCK_MONOTONIC);
    vm->look_ns = vm->began_ns + vm->budget_ns / 4;
    vm->cpu_ns = -1;
}

static void leave(struct vm *vm)
{
    if (--vm->depth > 0)
        return;
    vm->heap.string_max = 0;
    vm->spent_ns += read_ns(CLOCK_MONOTONIC) - vm->began_ns;
}

static void seed(lua_State *L, int64_t a, int64_t b)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &seed_key);
    lua_pushinteger(L, a);
    lua_pushinteger(L, b);
    lua_call(L, 2, 0);
}

static int open_libraries(lua_State *L)
{
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
        luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
        lua_pop(L, 1);
    }
    luaL_requiref(L, "cjson", luaopen_cjson, 0);
    lua_pop(L, 1);
    for (size_t i = 0; i < ARRAY_LEN(taken_out); i++) {
        lua_pushnil(L);
        lua_setglobal(L, taken_out[i]);
    }
    lua_getglobal(L, LUA_MATHLIBNAME);
    lua_getfield(L, -1, "randomseed");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &seed_key);
    int64_t random[2];
    if (getrandom(random, sizeof random, GRND_NONBLOCK) == sizeof random) /* else Lua's own choice stays */
        seed(L, random[0], random[1]);
    return 0;
}

struct vm *vm_new(int memory_mb, struct err *err)
{
    struct vm *vm = calloc(1, sizeof *vm);
    if (!vm) {
        err_nomem(err);
        return NULL;
    }
    vm_set_memory(vm, memory_mb);
    vm->heap.on_pressure = on_pressure;
    vm->heap.is_late = is_late;
    vm->L = lua_newstate(heap_alloc, &vm->heap);
    if (!vm->L) {
        err_nomem(err);
        vm_free(vm);
        return NULL;
    }
    *word_of(vm->L) = (uintptr_t)vm; /* coroutines inherit it, and the hook */
    watch(vm->L);
    lua_pushcfunction(vm->L, open_libraries);
    if (!vm_call(vm->L, 0, 0, err)) {
        vm_free(vm);
        return NULL;
    }
    return vm;
}

void vm_free(struct vm *vm)
{
    if (!vm)
        return;
    if (vm->L)
        lua_close(vm->L);
    free(vm);
}

struct lua_State *vm_state(struct vm *vm)
{
    return vm->L;
}

struct vm *vm_of(struct lua_State *L)
{
    return (struct vm *)(*word_of(L) & ~(uintptr_t)1);
}

struct lua_State *vm_new_coroutine(struct lua_State *L)
{
    lua_State *co = lua_newthread(L); /* with the word of the main thread */
    *word_of(co) |= 1;
    return co;
}

bool vm_is_scripts_own(struct lua_State *co)
{
    return *word_of(co) & 1;
}

void vm_set_memory(struct vm *vm, int memory_mb)
{
    vm->heap.limit = memory_mb > 0 ? (size_t)memory_mb << 20 : 0;
}

void vm_collect(struct vm *vm)
{
    if (vm->depth || vm->slow_to_collect || vm->heap.used > VM_COLLECT_MAX)
        return;
    int64_t began_ns = read_ns(CLOCK_THREAD_CPUTIME_ID);
    lua_gc(vm->L, LUA_GCCOLLECT);
    vm->slow_to_collect = read_ns(CLOCK_THREAD_CPUTIME_ID) - began_ns > VM_COLLECT_MS * INT64_C(1000000);
}

size_t vm_memory(const struct vm *vm)
{
    return vm->heap.used;
}

void vm_set_budget(struct vm *vm, int budget_ms)
{
    vm->budget_ns = (int64_t)MAX(budget_ms, 0) * 1000000;
}

bool vm_tripped(const struct vm *vm)
{
    return vm->tripped;
}

int64_t vm_spent_us(const struct vm *vm)
{
    return vm->spent_ns / 1000;
}

void vm_set_clock(struct vm *vm, int64_t (*wall_ms)(void *arg), void *arg)
{
    vm->wall_ms = wall_ms;
    vm->wall_arg = arg;
}

int64_t vm_wall_ms(const struct vm *vm)
{
    return vm->wall_ms ? vm->wall_ms(vm->wall_arg) : clock_wall_ms();
}

void vm_seed(struct vm *vm, int64_t n)
{
    seed(vm->L, n, 0); /* allocates nothing, so raises nothing */
}

static bool report(lua_State *L, int status, struct err *err)
{
    const struct vm *vm = vm_of(L);
    if (status == LUA_ERRMEM && vm->tripped)
        return err_set(err, "%s" OVER_BUDGET, vm->place, (int)(vm->budget_ns / 1000000));
    if (status == LUA_ERRMEM && vm->refused_string)
        return err_set(err, "%sa string may have up to %zu MB", vm->place, VM_STRING_MAX >> 20);
    if (status == LUA_ERRMEM && vm->heap.limit)
        return err_set(err, "%sout of memory: Lua may use %zu MB", vm->place, vm->heap.limit >> 20);
    if (status == LUA_ERRMEM)
        return err_nomem(err);
    /* The handler itself may have failed: then anything can lie there. */
    return err_set(err, "%s",
                   lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error that has no message in Lua");
}

bool vm_call(struct lua_State *L, int nargs, int nresults, struct err *err)
{
    struct vm *vm = vm_of(L);
    int base = lua_gettop(L) - nargs; /* the function; later the handler, below it */
    if (!lua_checkstack(L, LUA_MINSTACK)) {
        lua_settop(L, base - 1);
        return err_nomem(err);
    }
    lua_pushcfunction(L, vmerror_describe);
    lua_insert(L, base);
    lua_State *before = vm->running;
    enter(vm);
    watch_again(L);
    vm->running = L;
    int status = lua_pcall(L, nargs, nresults, base);
    vm->running = before;
    leave(vm);
    if (status == LUA_OK) {
        lua_remove(L, base);
        return true;
    }
    report(L, status, err);
    lua_settop(L, base - 1);
    if (status == LUA_ERRMEM) /* some libraries do not collect before they give up: leave room for the next call */
        lua_gc(L, LUA_GCCOLLECT);
    return false;
}

int vm_pcall_generous(struct lua_State *L, int nargs, int nresults)
{
    struct vm *vm = vm_of(L);
    vm->heap.generous = true;
    int status = lua_pcall(L, nargs, nresults, 0);
    vm->heap.generous = false;
    return status;
}

/* What was raised is on the top of co; L is a thread that can run. Pops it. */
static void report_dead(lua_State *co, lua_State *L, int status, struct err *err)
{
    struct vm *vm = vm_of(L);
    if (status == LUA_ERRMEM || !lua_checkstack(L, LUA_MINSTACK)) {
        report(co, LUA_ERRMEM, err);
        lua_pop(co, 1);
        return;
    }
    lua_pushcfunction(L, vmerror_describe_dead);
    lua_pushlightuserdata(L, co);
    lua_xmove(co, L, 1);
    size_t limit = vm->heap.limit;
    vm->heap.limit += limit ? DESCRIBE_BYTES : 0;
    status = lua_pcall(L, 2, 1, 0);
    vm->heap.limit = limit;
    report(L, status, err);
    lua_pop(L, 1);
}

int vm_switch(struct lua_State *co, struct lua_State *from, int nargs, int *nresults)
{
    struct vm *vm = vm_of(co);
    if (!is_spoilt(co))
        watch_again(co);
    lua_State *before = vm->running;
    vm->running = co;
    int status = lua_resume(co, from, nargs, nresults);
    vm->running = before;
    return status;
}

int vm_close(struct lua_State *co)
{
    struct vm *vm = vm_of(co);
    if (is_spoilt(co) || vm->closing >= CLOSE_DEPTH_MAX)
        return -1;
    lua_State *before = vm->running;
    watch_again(co);
    vm->running = co;
    vm->closing++;
    int status = lua_resetthread(co);
    vm->closing--;
    vm->running = before;
    return status;
}

enum vm_status vm_resume(struct lua_State *co, struct lua_State *from, int nargs, int *nresults, struct err *err)
{
    struct vm *vm = vm_of(co);
    enter(vm);
    int status = vm_switch(co, from, nargs, nresults);
    if (status != LUA_OK && status != LUA_YIELD) {
        *nresults = 0;
        report_dead(co, from ? from : vm->L, status, err);
        /* One that is running, or waits for another one, was refused and is as it was. */
        if (lua_status(co) != LUA_OK && vm_close(co) > LUA_OK)
            lua_pop(co, 1);
    }
    leave(vm);
    if (status == LUA_ERRMEM)
        lua_gc(vm->L, LUA_GCCOLLECT);
    return status == LUA_OK ? VM_DONE : status == LUA_YIELD ? VM_YIELDED : VM_FAILED;
}
