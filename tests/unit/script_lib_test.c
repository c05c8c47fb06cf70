/* The libraries of scripts: what Lua's own would answer, and no call that goes on for long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>
#include <lualib.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static struct err err;
static struct vm *vm;

static bool run(const char *code)
{
    lua_State *L = vm_state(vm);
    memset(&err, 0, sizeof err);
    assert_int_equal(luaL_loadbufferx(L, code, strlen(code), "=test", "t"), LUA_OK);
    return vm_call(L, 0, 0, &err);
}

static void expect(const char *code)
{
    if (!run(code))
        fail_msg("%s: %s", err.text, code);
}

/* `stock` is Lua's own library of tables, strings and utf8. */
static int set_up(void **state)
{
    (void)state;
    vm = vm_new(64, &err);
    assert_non_null(vm);
    lua_State *L = vm_state(vm);
    static const luaL_Reg libraries[] = {{"table", luaopen_table}, {"string", luaopen_string}, {"utf8", luaopen_utf8}};
    lua_newtable(L);
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
        lua_pushcfunction(L, libraries[i].func);
        lua_call(L, 0, 1);
        lua_setfield(L, -2, libraries[i].name);
    }
    lua_setglobal(L, "stock");
    assert_true(sandbox_open(vm, "/nonexistent", NULL, &err));
    expect("local function answer(f, ...)\n"
           "  local r = table.pack(pcall(f, ...))\n"
           "  for i = 1, r.n do r[i] = math.type(r[i]) == 'integer' and r[i] or type(r[i]) .. ':' ..\n"
           "    (type(r[i]) == 'table' and '' or tostring(r[i]):gsub(\"to '[^']*'\", 'to F')) end\n"
           "  return stock.table.concat(r, '|')\n"
           "end\n"
           "local function copy(v)\n"
           "  if type(v) ~= 'table' then return v end\n"
           "  local t = {} for k, x in next, v do t[k] = x end return setmetatable(t, getmetatable(v))\n"
           "end\n"
           "local function show(v)\n"
           "  if type(v) ~= 'table' then return stock.string.format('%q', v) end\n"
           "  local keys = {} for k, x in next, v do keys[#keys + 1] = tostring(k) .. '=' .. tostring(x) end\n"
           "  stock.table.sort(keys) return '{' .. stock.table.concat(keys, ',') .. '}'\n"
           "end\n"
           "function same(lib, name, ...)\n"
           "  local n, a, b, shown = select('#', ...), {...}, {...}, {}\n"
           "  for i = 1, n do a[i], b[i], shown[i] = copy(a[i]), copy(b[i]), type(a[i]) == 'function' and 'f' or "
           "show(a[i]) end\n"
           "  local x = answer(stock[lib][name], stock.table.unpack(a, 1, n))\n"
           "  local y = answer(_ENV[lib][name], stock.table.unpack(b, 1, n))\n"
           "  for i = 1, n do if type(a[i]) == 'table' then x = x .. show(a[i]) y = y .. show(b[i]) end end\n"
           "  if x ~= y then error(stock.string.format('%s.%s(%s)\\nstock: %s\\nours:  %s', lib, name,\n"
           "    stock.table.concat(shown, ', '), x, y)) end\n"
           "end");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vm_free(vm);
    return 0;
}

static void test_tables(void **state)
{
    (void)state;
    vm_seed(vm, 4711);
    expect(
        "local random = math.random\n"
        "local function list() local t = {} for i = 1, random(0, 12) do t[i] = random(3) == 1 and 'x' .. i or i end\n"
        "  if random(6) == 1 then t[random(14)] = nil end return t end\n"
        "local function index() return random(8) == 1 and (random(2) == 1 and math.maxinteger - random(0, 2)\n"
        "  or math.mininteger + random(0, 2)) or random(-3, 14) end\n"
        "for i = 1, 2000 do\n"
        "  local t = list()\n"
        "  same('table', 'insert', t, 'new') same('table', 'insert', t, index(), 'new')\n"
        "  same('table', 'remove', t) same('table', 'remove', t, index())\n"
        "  local f, n = index(), random(-2, 5)\n"
        "  same('table', 'move', t, f, f + n, index(), random(2) == 1 and list() or nil)\n"
        "  same('table', 'concat', t) same('table', 'concat', t, ',', random(-2, 5), random(-2, 14))\n"
        "  same('table', 'unpack', t) same('table', 'unpack', t, random(-2, 5), random(-2, 14))\n"
        "end\n"
        "same('table', 'insert', {}) same('table', 'insert', {}, 1, 2, 3) same('table', 'insert', {}, 'x', 1)\n"
        "same('table', 'insert', 1, 2) same('table', 'concat', {{}}) same('table', 'concat', {1, 2.5, 'x'}, 7)\n"
        "same('table', 'concat') same('table', 'unpack', 1) same('table', 'remove') same('table', 'sort')\n"
        "same('table', 'unpack', {}, 1, 1e8) same('table', 'move', {}, 1, 2) same('table', 'sort', {1, 2}, 1)\n"
        "local odd = {__len = function() return 'x' end} same('table', 'insert', setmetatable({}, odd), 1)\n"
        "odd = {__len = function() return 3 end, __index = function(_, k) return k * 2 end}\n"
        "same('table', 'concat', setmetatable({}, odd), ',') same('table', 'unpack', setmetatable({}, odd))\n"
        "same('table', 'remove', setmetatable({}, odd), 1)");
}

static void test_sort(void **state)
{
    (void)state;
    vm_seed(vm, 42);
    expect(
        "local random = math.random\n"
        "for i = 1, 200 do\n"
        "  local t, words = {}, {}\n"
        "  for j = 1, random(0, 40) do t[j] = random(3) == 1 and random(10) + 0.5 or random(20) words[j] = 'w' .. "
        "random(50) end\n"
        "  same('table', 'sort', t) same('table', 'sort', words)\n"
        "  same('table', 'sort', t, function(a, b) return a > b end)\n"
        "end\n"
        "local t = {} for i = 1, 1000 do t[i] = {key = random(10), place = i} end\n"
        "table.sort(t, function(a, b) return a.key < b.key end)\n"
        "for i = 2, #t do local a, b = t[i - 1], t[i]\n"
        "  assert(a.key < b.key or (a.key == b.key and a.place < b.place)) end\n" /* stable, more than is promised */
        "same('table', 'sort', {1, 'x'}) same('table', 'sort', {{}, {}})\n"
        "t = {5, 3, 1} assert(not pcall(table.sort, t, function() error('x') end)) assert(t[1] == 5 and t[3] == 1)\n"
        "for _, answer in ipairs{true, false} do\n" /* no order at all: still the same elements, and an end */
        "  t = {} for i = 1, 100 do t[i] = i end table.sort(t, function() return answer end)\n"
        "  local seen = {} for i = 1, 100 do seen[t[i]] = true end assert(#seen == 100) end\n"
        "t = {} for i = 1, 100 do t[i] = i end table.sort(t, function() return random(2) == 1 end) assert(#t == 100)");
}

static void test_strings(void **state)
{
    (void)state;
    expect(
        "for _, c in ipairs{{'ab', 3}, {'ab', 0}, {'ab', -1}, {'', 5}, {'ab', 3, ','}, {'', 3, ','}, {'ab', 1, ','}, "
        "{'a'},\n"
        "  {'ab', 1.5}, {7, 2}, {'ab', 2, 9}, {'a', 1 << 62}, {'', 10, ''}} do same('string', 'rep', table.unpack(c, "
        "1, 3)) end\n"
        "for i = -5, 5 do for j = -5, 5 do same('string', 'byte', 'abc', i, j) end same('string', 'byte', 'abc', i) "
        "end\n"
        "same('string', 'byte', 'abc') same('string', 'byte', '') same('string', 'byte') same('string', 'byte', 'a', "
        "'x')\n"
        "same('string', 'byte', 'abc', math.mininteger, math.maxinteger) same('string', 'byte', '\\0\\xff', 1, -1)\n"
        "same('string', 'format', '%5d|%-5s|%q|%x|%g|%%|%c|%i', 42, 'x', 'y\\n', 255, 1.5, 65, 7)\n"
        "same('string', 'format', '%d', 'x') same('string', 'format', '%y', 1) same('string', 'format', '%s')\n"
        "same('string', 'format') same('string', 'format', '%99999d', 1) same('string', 'format', '%.3f', 1 / 3)\n"
        "same('string', 'pack', '<i4z', 7, 'x') same('string', 'packsize', 'c10i4') same('string', 'unpack', '<i2', "
        "'ab')\n"
        "same('string', 'pack', 'c5', 'abc') same('string', 'packsize', 'c') same('string', 'pack', 'q', 1)\n"
        "for i = -7, 7 do same('utf8', 'codepoint', 'h\\xc3\\xa9llo', i, -1) same('utf8', 'codepoint', 'abc', i) end\n"
        "same('utf8', 'codepoint', '\\xff') same('utf8', 'len', 'h\\xc3\\xa9')\n"
        "assert(string.dump == nil and ('x'):rep(3) == 'xxx' and ('abc'):find('b') == 2)");
}

/* One call that would go on for ever or very long, or make something huge. */
static const char *const slow[] = {
    "string.rep('', 1e10)",
    "string.rep('x', 1e10)",
    "string.rep('x', 1 << 62)",
    "('a'):rep(30000):match('.-.-.-.-b')",
    "('a'):rep(30000):gsub('.-.-.-.-b', '')",
    "table.concat(setmetatable({}, {__len = function() return 1 << 60 end, __index = function() return '' end}))",
    "table.concat({}, '', 1, 1 << 60)",
    "table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)",
    "table.remove(setmetatable({}, {__len = function() return 1 << 60 end}), 1)",
    "table.move({}, 1, 1 << 60, 2)",
    "table.move({}, 1, 1 << 60, 1, {})",
    "table.unpack({}, 1, 1e6)",
    "table.unpack(setmetatable({}, {__len = function() return 1e6 end}))",
    "table.sort(setmetatable({}, {__len = function() return 1 << 30 end, __index = function() return 1 end}))",
    "local t = {} for i = 1, 200000 do t[i] = i * 7919 % 200003 end while true do table.sort(t, rawequal) end",
    "local t = {} for i = 1, 1000 do t[i] = -i end table.sort(t, function(a, b) while true do end end)",
    "string.byte(('x'):rep(1e6), 1, -1)",
    "utf8.codepoint(('x'):rep(1e6), 1, -1)",
    "string.format(('%s'):rep(2000), table.unpack({}, 1, 2000))",
    ("local s = ('\\n'):rep(4e6) string.format(('%q'):rep(100), table.unpack(setmetatable({}, {__index = function() "
     "return s end}), 1, 100))"),
    "string.pack('c4000000000', '')",
    "string.pack(('c4000000'):rep(100), table.unpack({}, 1, 100))",
    "string.pack(('x'):rep(4e6))",
    "string.packsize(('b'):rep(4e6))",
    "string.unpack(('x'):rep(4e6), '')",
    "os.date(('%c'):rep(1e6))",
};

static void test_slow_calls(void **state)
{
    (void)state;
    vm_set_budget(vm, 20);
    for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
        clock_t before = clock(); /* processor time, as a budget is */
        run(slow[i]);             /* whether it ends or fails */
        clock_t ms = (clock() - before) / (CLOCKS_PER_SEC / 1000);
        if (ms > 400) /* much less without a sanitizer */
            fail_msg("%s: %d ms", slow[i], (int)ms);
        expect("assert(1 + 1 == 2)");
    }
}

static void test_traceback(void **state)
{
    (void)state;
    expect("local t = {} assert(debug.traceback(t) == t and debug.traceback(nil, 1):find('^stack traceback:'))\n"
           "local function f() return (debug.traceback('msg')) end\n"
           "assert(f():find(\"^msg\\nstack traceback:\\n\\ttest:2: in local 'f'\\n\\ttest:3: in main chunk\"), f())\n"
           "local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co)\n"
           "assert(debug.traceback(co):find('test:4: in function <test:4>') and debug.traceback(co, 'm', 9))\n"
           "local function deep(n) if n == 0 then return (debug.traceback('m', 0)) end return (deep(n - 1)) end\n"
           "local text = deep(5000) local _, lines = text:gsub('\\n', '')\n"
           "assert(lines == 22 and text:find(\"^m\\nstack traceback:\\n\\t%[C%]: in field 'traceback'\\n\\ttest:6: in "
           "\"), text)\n"
           "assert(text:find('levels%)$'))");
}

static void test_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/lib_test.XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    lua_pushstring(vm_state(vm), dir);
    lua_setglobal(vm_state(vm), "dir");
    expect(
        "local name = dir .. '/a'\n"
        "local f = assert(io.open(name, 'w')) assert(io.type(f) == 'file' and tostring(f):find('^file %('))\n"
        "assert(f:write('one\\n', 2, '\\n', 0x10, ' 1.5e1 -7\\nlast') == f and f:seek('cur') == 22 and f:flush())\n"
        "assert(f:close() and io.type(f) == 'closed file' and tostring(f) == 'file (closed)' and io.type(1) == nil)\n"
        "assert(not pcall(f.read, f) and not pcall(f.read, 1) and not pcall(f.close, f))\n"
        "f = io.open(name) assert(f:read() == 'one' and f:read('L') == '2\\n')\n"
        "local a, b, c, d, e = f:read('n', 'n', 'n', 'l', 'a') assert(a == 16 and b == 15.0 and c == -7 and d == '' "
        "and e == 'last')\n"
        "assert(f:read('a') == '' and f:read('l') == nil and f:read(0) == nil and f:read(5) == nil and f:read('n') == "
        "nil)\n"
        "assert(f:seek('set', 1) == 1 and f:read(2, 0) == 'ne' and not f:write('x') and not pcall(f.read, f, 'x'))\n"
        "assert(f:seek('end') == 22 and not pcall(f.seek, f, 'x') and f:setvbuf('full') and not f:seek('set', -1))\n"
        "f:close()\n"
        "local lines = {} for line in io.lines(name) do lines[#lines + 1] = line end assert(#lines == 4 and lines[4] "
        "== 'last')\n"
        "for two, more in io.lines(name, 2, 'L') do assert(two == 'on' and more == 'e\\n') break end\n"
        "f = io.open(name, 'a+') f:write('!') f:seek('set') assert(f:read('a'):find('last!$')) f:close()\n"
        "f = io.open(name, 'r+b') f:write('ONE') f:close() assert(io.lines(name)() == 'ONE')\n"
        "do local g <close> = io.open(name, 'wb') end assert(io.open(name):read('a') == '')\n"
        "assert(getmetatable(f) == false and io.close(io.open(name)))\n"
        "for _, mode in ipairs{'', 'x', 'rw', 'r++', 'rb+', 'r+bb'} do assert(not pcall(io.open, name, mode)) end\n"
        "assert(os.rename(name, name .. 'b') and not io.open(name) and os.remove(name .. 'b'))");
    expect("local function refused(path, mode, why)\n"
           "  local f, msg, code = io.open(path, mode) assert(f == nil and msg == path .. ': ' .. why and code > 0, "
           "msg) end\n"
           "for _, mode in ipairs{'r', 'w', 'r+', 'a'} do\n"
           "  if mode ~= 'r' then refused('/proc/self/mem', mode, 'Read-only file system') end\n"
           "  refused(dir .. '/fifo', mode, 'no regular file') refused('/dev/null', mode, 'no regular file')\n"
           "  refused(dir, mode, 'Is a directory') refused(dir .. '/no/where', mode, 'No such file or directory') end\n"
           "refused('/proc/self/fd/0/x', 'r', 'Not a directory')\n"
           "assert(not pcall(io.lines, dir .. '/fifo') and not pcall(io.lines))\n"
           "for _, name in ipairs{'popen', 'tmpfile', 'stdin', 'stdout', 'stderr', 'read', 'write', 'input', 'output'} "
           "do\n"
           "  assert(io[name] == nil, name) end");
    /* Descriptors are the monitor's too; what nobody holds is closed. */
    expect("local name, t = dir .. '/b', {} io.open(name, 'w'):close()\n"
           "local ok, msg = pcall(function() for i = 1, 100 do t[i] = io.open(name) end end)\n"
           "assert(not ok and #t == 64 and msg:find('too many open files'))\n"
           "t = {} for i = 1, 1000 do assert(io.open(name)) end");
    vm_set_budget(vm, 2000);
    expect("f = io.open(dir .. '/b', 'w') local s = ('x'):rep(4000000) f:write(s) f:write(s) f:close()");
    assert_false(run("io.open(dir .. '/b'):read('a')"));
    assert_non_null(strstr(err.text, "more than 4 MB at once"));
    assert_false(run("io.open(dir .. '/b'):read('l')"));
    vm_set_budget(vm, 20);
    assert_false(run("for l in io.lines(dir .. '/b', 1) do end"));
    assert_non_null(strstr(err.text, "over budget"));
    assert_false(run("f = io.open(dir .. '/b', 'w') while true do f:write('x') f:seek('set') end"));
    assert_non_null(strstr(err.text, "over budget"));
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_tables),     TEST(test_sort),      TEST(test_strings),
                                       TEST(test_slow_calls), TEST(test_traceback), TEST(test_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
