/* Lua's own functions are the reference: the same answer, or the same error, for whatever is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pattern.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <string.h>
#include <time.h>

static struct err err;
static struct vm *vm;

static const char common[] =
    "local stock = string\n"
    "local function answer(f, ...)\n"
    "  local r = table.pack(pcall(f, ...))\n"
    "  if not r[1] then return 'error: ' .. tostring(r[2]):gsub(\"to '[^']*'\", 'to F') end\n"
    "  for i = 1, r.n do r[i] = math.type(r[i]) == 'integer' and r[i] or type(r[i]) .. ':' .. tostring(r[i]) end\n"
    "  return table.concat(r, '|')\n"
    "end\n"
    "local function all(lib, s, p, init, max)\n" /* what gmatch gives, as one table */
    "  local t = {}\n"
    "  for a, b in lib.gmatch(s, p, init) do t[#t + 1] = tostring(a) .. ',' .. tostring(b) end\n"
    "  return table.concat(t, ';')\n"
    "end\n"
    "local function show(v) return type(v) == 'string' and stock.format('%q', v) or tostring(v) end\n"
    "function same(name, ...)\n"
    "  local a, b\n"
    "  if name == 'gmatch' then a, b = answer(all, stock, ...), answer(all, ours, ...)\n"
    "  else a, b = answer(stock[name], ...), answer(ours[name], ...) end\n"
    "  if a == b then return end\n"
    "  local t = table.pack(...) for i = 1, t.n do t[i] = show(t[i]) end\n"
    "  error(stock.format('%s(%s)\\nstock: %s\\nours:  %s', name, table.concat(t, ', '), a, b))\n"
    "end\n";

static void run(const char *code)
{
    lua_State *L = vm_state(vm);
    struct err e = {0};
    assert_int_equal(luaL_loadbufferx(L, code, strlen(code), "=test", "t"), LUA_OK);
    if (!vm_call(L, 0, 0, &e))
        fail_msg("%s", e.text);
}

static int set_up(void **state)
{
    (void)state;
    vm = vm_new(64, &err);
    assert_non_null(vm);
    lua_newtable(vm_state(vm));
    pattern_open(vm_state(vm));
    lua_setglobal(vm_state(vm), "ours");
    run(common);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vm_free(vm);
    return 0;
}

static void test_by_hand(void **state)
{
    (void)state;
    run("local cases = {\n"
        "  {'hello world', 'o w'}, {'hello', 'l+'}, {'hello', 'l-'}, {'hello', 'l-o'}, {'hello', '(h)(.)(%2*)'},\n"
        "  {'key = value', '^(%w+)%s*=%s*(%w+)$'}, {'  trim  ', '^%s*(.-)%s*$'}, {'f(a(b)c)d', '%b()'},\n"
        "  {'THE (quick) fox', '%f[%a]%a+%f[%A]'}, {'abc', '()b()'}, {'', ''}, {'', '^$'}, {'a', ''}, {'a$', '$'},\n"
        "  {'a$b', 'a$b'}, {'a^b', '^a^b'}, {'x]y', '[]]'}, {'x^y', '[x^]+'}, {'a-z', '[a%-z]+'}, {'a-z', '[a-]+'},\n"
        "  {'\\0a\\0', '%z'}, {'\\0a\\0', '[\\0-\\1]'}, {'a\\0b', 'a\\0b'}, {'aXb', '%u'}, {'aXb', '%U+'}, {'ab', "
        "'%'},\n"
        "  {'ab', '[a'}, {'ab', '[]'}, {'ab', '[^]'}, {'ab', '[%'}, {'ab', '[a-'}, {'ab', '%f'}, {'ab', '%fa'},\n"
        "  {'ab', '%b'}, {'ab', '%ba'}, {'ab', '(a'}, {'ab', 'a)'}, {'ab', '%1'}, {'ab', '(a%1)'}, {'ab', '()%1'},\n"
        "  {'ab', '(a)%2'}, {'ab', '%0'}, {'ab', '(()'}, {'a.b', '.', 1, true}, {'a.b', '', 10, true},\n"
        "  {'ab', ('()'):rep(32)}, {'ab', ('()'):rep(33)}, {'a', ('a?'):rep(150)}, {'ab', ('(a)'):rep(2)},\n"
        "  {'\\xff\\xfe', '[\\x80-\\xff]+'}, {'abc', 'b', -1}, {'abc', 'b', -2}, {'abc', 'b', -9}, {'abc', 'b', 9},\n"
        "  {'abc', '', 4}, {'abc', '', 5}, {'abc', 'b', 0}, {123, 2}, {'abc', 'b', 'x'}, {nil, 'b'}, {'abc'}, {{}, "
        "'b'},\n"
        "  {'abc', 'b', math.mininteger}, {'abc', 'b', math.maxinteger}, {'abc', 'b', 2.0}, {'abc', 'b', 2.5},\n"
        "  {'aaa', 'a-', 2}, {'aaab', '^a-b'}, {'abab', '(ab)%1'}, {'x', 'x*+'}, {'x*', 'x**'}, {'-', '--'}, {'?', "
        "'%?'},\n"
        "  {'[test]', '%[(.*)%]'}, {'1.5e3', '^[+-]?%d+%.?%d*[eE]?[+-]?%d*$'}, {'aab', 'a?a?a?b'}, {'{{}', '%b{}'},\n"
        "  {'\"\"', '%b\"\"'}, {'a', '%f[a]a%f[\\0]'}, {'', '%f[\\0]'}, {'ab', '%f['}, {'ab', 'b%f[^%w]'}, {'ab', "
        "'()()b()'},\n"
        "}\n"
        "for _, c in ipairs(cases) do\n"
        "  same('find', table.unpack(c, 1, 4)) same('match', table.unpack(c, 1, 3))\n"
        "  same('gmatch', table.unpack(c, 1, 3)) same('gsub', c[1], c[2], '<%0>') same('gsub', c[1], c[2], '%1')\n"
        "end");
}

static void test_replacements(void **state)
{
    (void)state;
    run("local function id(...) return ... end\n"
        "local cases = {\n"
        "  {'hello world', 'o', '0'}, {'hello world', '(%w+) (%w+)', '%2 %1'}, {'abc', '%w', '%%%0'}, {'abc', '', "
        "'-'},\n"
        "  {'abc', '%w', '%2'}, {'abc', '%w', '%'}, {'abc', '%w', '%a'}, {'abc', '()%w', '%1'}, {'abc', '(()%w)', "
        "'%2%1'},\n"
        "  {'abc', '(%w', '%1'}, {'abc', '%w', '%9'}, {'abc', '(%w)', '%2'}, {'abc', '%w', ''}, {'abc', 'x', '%'},\n"
        "  {'abc', '%w', {a = 1, b = true, c = false}}, {'abc', '%w', {a = {}}}, {'abc', '(%w)(%w)', {a = 'x'}},\n"
        "  {'abc', '%w', {a = 1, b = 2.5, c = 'x'}}, {'abc', '()%w', {'p', 'q'}}, {'abc', '%w', id}, {'abc', '()', "
        "id},\n"
        "  {'abc', '(%w)(%w)', id}, {'abc', '%w', function() end}, {'abc', '%w', function() return {} end},\n"
        "  {'abc', '%w', function() return true end}, {'abc', '%w', function() error('x', 0) end}, {'abc', '%w', 7},\n"
        "  {'abc', '%w', nil}, {'abc', '%w', true}, {'abc'}, {'abc', '%w', 'x', 2}, {'abc', '%w', 'x', 0},\n"
        "  {'abc', '%w', 'x', -1}, {'abc', '%w', 'x', 'y'}, {'abc', '^%w', 'x'}, {'abc', '^', 'x'}, {'abc', '$', "
        "'x'},\n"
        "  {'hello', 'l*', 'x'}, {'a b', '%f[%w]', '<'}, {'abc', '.', {}}, {12, 1, 3}, {'a\\0b', '%z', '\\0\\0%0'},\n"
        "  {'abc', '%w', setmetatable({}, {__index = function(_, k) return k .. k end})}, {'abc', '%w', '%1%%'},\n"
        "  {'abc', '%w', 'x', 1.5}, {'abc', '%w', 'x\\0%0'}, {('x'):rep(5000), 'x', 'yz'}, {('x '):rep(3000), '%w+', "
        "id},\n"
        "}\n"
        "for _, c in ipairs(cases) do same('gsub', table.unpack(c, 1, 4)) end\n"
        "local s = 'unchanged' assert(ours.gsub(s, 'z', 'y') == s)");
}

/* Patterns and subjects of few letters, so that much of it matches and all that is special meets all else. */
static void test_random(void **state)
{
    (void)state;
    vm_seed(vm, 20240607);
    run("local pieces = {'a', 'b', 'c', '.', '%a', '%d', '%s', '%w', '%A', '%p', '%x', '%u', '%%', '%.', '[ab]', "
        "'[^a]',\n"
        "  '[a-c]', '[%a_]', '[]]', '[^]a]', '[a-]', '[%]]', '(', ')', '()', '(a)', '(.-)', '(%w+)', '*', '+', '-', "
        "'?', '$',\n"
        "  '^', '%1', '%2', '%b()', '%bab', '%bxx', '%f[a]', '%f[^a]', '%f[%w]', '[', ']', '%', '\\0', '%z', '1', ' ', "
        "'(',\n"
        "  ')', '-', '*', 'a', 'b', '.-', '.*', 'a?'}\n"
        "local letters = {'a', 'b', 'c', 'A', '1', ' ', '(', ')', '.', '_', 'x', '\\0', ']', '%', '-', 'a', 'b', 'a'}\n"
        "local repls = {'x', '%0', '%1', '<%1>', '%2', '%%', '%', '', '%1%0'}\n"
        "local random = math.random\n"
        "local function pick(t) return t[random(#t)] end\n"
        "local function text(t, n) local r = {} for i = 1, random(0, n) do r[i] = pick(t) end return table.concat(r) "
        "end\n"
        "for i = 1, 20000 do\n"
        "  local s, p = text(letters, 12), text(pieces, 6)\n"
        "  if random(4) == 1 then p = '^' .. p end\n"
        "  local init = random(3) == 1 and random(-14, 14) or nil\n"
        "  same('find', s, p, init) same('match', s, p, init) same('gmatch', s, p, init)\n"
        "  same('find', s, p, init, random(2) == 1)\n"
        "  same('gsub', s, p, pick(repls), random(4) == 1 and random(-1, 3) or nil)\n"
        "  if i % 4 == 0 then same('gsub', s, p, function(a, b) return random() < 2 and b and b .. a or nil end) end\n"
        "end");
}

/* Any bytes at all as a pattern. */
static void test_random_bytes(void **state)
{
    (void)state;
    vm_seed(vm, 77);
    run("local random = math.random\n"
        "local function bytes(n) local r = {} for i = 1, random(0, n) do\n"
        "  r[i] = string.char(random(3) == 1 and random(0, 255) or string.byte('%[]^-()ab', random(9))) end\n"
        "  return table.concat(r) end\n"
        "for i = 1, 15000 do local s, p = bytes(10), bytes(8) same('find', s, p) same('gsub', s, p, '%0') end\n"
        "for c = 0, 255 do for _, class in ipairs{'a', 'c', 'd', 'g', 'l', 'p', 's', 'u', 'w', 'x', 'z', 'b', 'q', "
        "'Q'} do\n"
        "  for _, p in ipairs{'%' .. class, '%' .. class:upper(), '[%' .. class .. ']', '[^%' .. class:upper() .. ']'} "
        "do\n"
        "    same('find', string.char(c), p) end end end");
}

/* What would go on for hours, or longer, is stopped. */
static void test_budget(void **state)
{
    (void)state;
    static const char *const slow[] = {
        "ours.match(('a'):rep(30000), '.-.-.-.-b')",
        "ours.find(('a'):rep(200000), '.*b')",
        "ours.find(('a'):rep(200000), 'a-b')",
        "ours.gsub(('('):rep(200000), '%b()', '')",
        "ours.find(('a'):rep(200000), '[' .. ('b'):rep(200000) .. ']')",
        "for _ in ours.gmatch(('a'):rep(200000), '.*.*b') do end",
        "ours.find(('a'):rep(50000), ('a?'):rep(60) .. 'b')",
        "ours.gsub(('a'):rep(300000), '(.*)%1%1b', '')",
        "ours.gsub(('a'):rep(1000000), '', ('b'):rep(1000000))",
        "ours.gsub(('a'):rep(1000), '', ('%0'):rep(1000000))",
        "ours.gsub('abc', '%w', function() while true do end end)",
        "ours.gsub('abc', '%w', setmetatable({}, {__index = function() while true do end end}))",
        "while true do pcall(ours.find, ('a'):rep(200000), '.*b') end",
    };
    vm_set_budget(vm, 20);
    for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
        struct err e = {0};
        clock_t before = clock(); /* processor time, as a budget is */
        assert_int_equal(luaL_loadbufferx(vm_state(vm), slow[i], strlen(slow[i]), "=test", "t"), LUA_OK);
        if (vm_call(vm_state(vm), 0, 0, &e))
            fail_msg("%s: ended", slow[i]);
        if (!strstr(e.text, "over budget: more than 20 ms in one turn") && !strstr(e.text, "memory"))
            fail_msg("%s: %s", slow[i], e.text);
        int us = (int)(clock() - before);
        if (us > 400000)
            fail_msg("%s: %d us", slow[i], us);
    }
    /* And what is only large is not: a plain search is linear. */
    vm_set_budget(vm, 1000);
    run("local s = ('a'):rep(1000000) assert(not ours.find(s, s .. 'b', 1, true))\n"
        "assert(not ours.find(s .. s, ('a'):rep(500000) .. 'b', 1, true))");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_by_hand), TEST(test_replacements), TEST(test_random), TEST(test_random_bytes), TEST(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
