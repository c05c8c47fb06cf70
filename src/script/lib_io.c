#include "base.h"
#include "lib.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FILES_MAX 64 /* open at a time; the monitor needs descriptors too */
#define LOOK_EVERY 4096
#define BLOCK_BYTES 65536
#define NUMBER_LEN_MAX 200

static const char kind[] = "fm.file"; /* of the metatable in the registry */
static const char count_key;          /* its address: how many files are open, an int in the registry */

struct file {
    FILE *f; /* NULL: closed */
    int *count;
};

static struct file *check_file(lua_State *L)
{
    return luaL_checkudata(L, 1, kind);
}

static FILE *check_open(lua_State *L)
{
    struct file *file = check_file(L);
    if (!file->f)
        luaL_error(L, "attempt to use a closed file");
    return file->f;
}

/* nil, message and errno; or true. */
static int result(lua_State *L, bool ok, const char *name)
{
    int error = errno;
    if (!ok)
        return luaL_fileresult(L, 0, name);
    errno = error;
    lua_pushboolean(L, true);
    return 1;
}

static bool close_now(struct file *file)
{
    FILE *f = file->f;
    file->f = NULL;
    if (!f)
        return true;
    --*file->count;
    return fclose(f) == 0;
}

static int file_close(lua_State *L)
{
    check_open(L);
    return result(L, close_now(check_file(L)), NULL);
}

static int file_collect(lua_State *L)
{
    close_now(check_file(L));
    return 0;
}

/* Opens a regular file; -errno else. What is in /proc is only read: the monitor's own memory is there. A FIFO or a
 * device is not even opened: that alone can wait, or do something. What was there is cut off only when it is certain
 * what it is. */
static int open_regular(const char *path, int flags, bool cut)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -ENODEV;
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
    if (fd < 0)
        return -errno;
    struct statfs fs = {0};
    int rc = fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0 ? -errno : !S_ISREG(st.st_mode) ? -ENODEV : 0;
    if (rc == 0 && fs.f_type == PROC_SUPER_MAGIC && (flags & O_ACCMODE) != O_RDONLY)
        rc = -EROFS;
    if (rc == 0 && cut && st.st_size > 0 && ftruncate(fd, 0) != 0)
        rc = -errno;
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

/* r, w or a, then + or not, then b or not; the flags of open, or -1. */
static int mode_flags(const char *mode)
{
    if (!*mode || !strchr("rwa", *mode) || strlen(mode) > 3)
        return -1;
    const char *rest = mode + 1;
    bool plus = *rest == '+';
    rest += plus;
    rest += *rest == 'b';
    if (*rest)
        return -1;
    int flags = plus ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;
    return flags | (*mode == 'r' ? 0 : O_CREAT) | (*mode == 'a' ? O_APPEND : 0);
}

/* Pushes a file that is not open yet. */
static struct file *push_file(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &count_key);
    int *count = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (*count >= FILES_MAX)
        lua_gc(L, LUA_GCCOLLECT); /* those that nobody holds any more */
    if (*count >= FILES_MAX)
        luaL_error(L, "too many open files (%d)", FILES_MAX);
    struct file *file = lua_newuserdatauv(L, sizeof *file, 0);
    *file = (struct file){.count = count};
    luaL_setmetatable(L, kind);
    return file;
}

/* Pushes an open file; false: errno says why. */
static bool open_file(lua_State *L, const char *path, const char *mode)
{
    int flags = mode_flags(mode);
    luaL_argcheck(L, flags >= 0, 2, "invalid mode");
    struct file *file = push_file(L);
    int fd = open_regular(path, flags, *mode == 'w');
    errno = fd < 0 ? -fd : 0;
    file->f = fd < 0 ? NULL : fdopen(fd, mode);
    if (!file->f) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    ++*file->count;
    return true;
}

static const char *why_not(int error)
{
    return error == ENODEV ? "no regular file" : strerror(error);
}

static int io_open(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1), *mode = luaL_optstring(L, 2, "r");
    if (open_file(L, path, mode))
        return 1;
    int error = errno;
    luaL_pushfail(L);
    lua_pushfstring(L, "%s: %s", path, why_not(error));
    lua_pushinteger(L, error);
    return 3;
}

static int io_type(lua_State *L)
{
    luaL_checkany(L, 1);
    const struct file *file = luaL_testudata(L, 1, kind);
    if (file)
        lua_pushstring(L, file->f ? "file" : "closed file");
    else
        luaL_pushfail(L);
    return 1;
}

static int file_tostring(lua_State *L)
{
    const struct file *file = check_file(L);
    if (file->f)
        lua_pushfstring(L, "file (%p)", (void *)file->f);
    else
        lua_pushliteral(L, "file (closed)");
    return 1;
}

/* A character, with a look at the budget now and then. */
static int next_char(lua_State *L, FILE *f, size_t *n)
{
    if (++*n % LOOK_EVERY == 0)
        vm_look(L);
    return getc_unlocked(f);
}

static void check_length(lua_State *L, size_t len)
{
    if (len > VM_STRING_MAX)
        luaL_error(L, "more than %d MB at once", (int)(VM_STRING_MAX >> 20));
}

/* Each of these pushes what was read; false: nil, because there was nothing more. */

static bool read_line(lua_State *L, FILE *f, bool keep_end)
{
    luaL_Buffer b;
    size_t n = 0;
    int c = EOF;
    luaL_buffinit(L, &b);
    while ((c = next_char(L, f, &n)) != EOF && c != '\n') {
        check_length(L, luaL_bufflen(&b));
        luaL_addchar(&b, (char)c);
    }
    if (keep_end && c == '\n')
        luaL_addchar(&b, '\n');
    luaL_pushresult(&b);
    return c == '\n' || lua_rawlen(L, -1) > 0;
}

static bool read_bytes(lua_State *L, FILE *f, size_t max, bool until_end)
{
    luaL_Buffer b;
    size_t got = 1;
    luaL_buffinit(L, &b);
    while (got > 0 && luaL_bufflen(&b) < max) {
        vm_look(L);
        check_length(L, luaL_bufflen(&b));
        size_t room = MIN(max - luaL_bufflen(&b), BLOCK_BYTES);
        got = fread(luaL_prepbuffsize(&b, room), 1, room, f);
        luaL_addsize(&b, got);
    }
    luaL_pushresult(&b);
    return until_end || lua_rawlen(L, -1) > 0;
}

static bool read_at_end(lua_State *L, FILE *f)
{
    int c = getc(f);
    ungetc(c, f);
    lua_pushliteral(L, "");
    return c != EOF;
}

/* As many characters as can belong to a number. */
static bool read_number(lua_State *L, FILE *f)
{
    char text[NUMBER_LEN_MAX + 1];
    size_t n = 0, len = 0;
    int c = next_char(L, f, &n);
    while (c != EOF && isspace(c))
        c = next_char(L, f, &n);
    while (c != EOF && len < NUMBER_LEN_MAX) {
        bool after_exponent = len > 0 && strchr("eEpP", text[len - 1]);
        if (!isxdigit(c) && !strchr(".xXpP", c) && !((c == '-' || c == '+') && (len == 0 || after_exponent)))
            break;
        text[len++] = (char)c;
        c = next_char(L, f, &n);
    }
    ungetc(c, f);
    text[len] = 0;
    if (lua_stringtonumber(L, text))
        return true;
    lua_pushnil(L);
    return false;
}

static bool read_format(lua_State *L, FILE *f, int arg)
{
    if (lua_type(L, arg) == LUA_TNUMBER) {
        lua_Integer n = luaL_checkinteger(L, arg);
        luaL_argcheck(L, n >= 0, arg, "invalid format");
        return n == 0 ? read_at_end(L, f) : read_bytes(L, f, (size_t)n, false);
    }
    const char *format = luaL_checkstring(L, arg);
    switch (format[*format == '*']) {
    case 'n':
        return read_number(L, f);
    case 'l':
        return read_line(L, f, false);
    case 'L':
        return read_line(L, f, true);
    case 'a':
        return read_bytes(L, f, SIZE_MAX, true);
    default:
        return luaL_argerror(L, arg, "invalid format");
    }
}

/* The formats are the arguments first to last of the stack. */
static int read_all(lua_State *L, FILE *f, int first, int last)
{
    bool ok = true;
    int n = 0;
    clearerr(f);
    luaL_checkstack(L, last - first + 1 + LUA_MINSTACK, "too many arguments");
    if (last < first) {
        ok = read_line(L, f, false);
        n = 1;
    }
    for (int arg = first; ok && arg <= last; arg++, n++)
        ok = read_format(L, f, arg);
    if (ferror(f))
        return luaL_fileresult(L, 0, NULL);
    if (!ok) {
        lua_pop(L, 1);
        luaL_pushfail(L);
    }
    return n;
}

static int file_read(lua_State *L)
{
    FILE *f = check_open(L);
    return read_all(L, f, 2, lua_gettop(L));
}

/* Upvalues: the file, whether it is closed at its end, how many formats, the formats. */
static int lines_next(lua_State *L)
{
    struct file *file = lua_touserdata(L, lua_upvalueindex(1));
    int nformats = (int)lua_tointeger(L, lua_upvalueindex(3));
    if (!file->f)
        return luaL_error(L, "file is already closed");
    lua_settop(L, 0);
    luaL_checkstack(L, nformats, "too many arguments");
    for (int i = 0; i < nformats; i++)
        lua_pushvalue(L, lua_upvalueindex(4 + i));
    int n = read_all(L, file->f, 1, nformats);
    if (lua_toboolean(L, -n))
        return n;
    if (n > 1) /* nil, message, errno */
        return luaL_error(L, "%s", lua_tostring(L, -n + 1));
    if (lua_toboolean(L, lua_upvalueindex(2)))
        close_now(file);
    return 0;
}

/* The file at index 1, formats from index 2: pushes the iterator. */
static void push_lines(lua_State *L, int file, bool close_at_end)
{
    int nformats = lua_gettop(L) - file;
    luaL_argcheck(L, nformats <= 200, 202, "too many arguments");
    lua_pushboolean(L, close_at_end);
    lua_pushinteger(L, nformats);
    lua_rotate(L, file + 1, 2);
    lua_pushvalue(L, file);
    lua_insert(L, file + 1);
    lua_pushcclosure(L, lines_next, 3 + nformats);
}

static int file_lines(lua_State *L)
{
    check_open(L);
    push_lines(L, 1, false);
    return 1;
}

static int io_lines(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    if (!open_file(L, path, "r"))
        return luaL_error(L, "%s: %s", path, why_not(errno));
    lua_replace(L, 1);
    push_lines(L, 1, true);
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushvalue(L, 1); /* the loop closes it however it ends */
    return 4;
}

static int file_write(lua_State *L)
{
    FILE *f = check_open(L);
    int n = lua_gettop(L);
    bool ok = true;
    for (int arg = 2; ok && arg <= n; arg++) {
        size_t len = 0;
        const char *s = luaL_checklstring(L, arg, &len);
        ok = fwrite(s, 1, len, f) == len;
        vm_look(L);
    }
    if (!ok)
        return luaL_fileresult(L, 0, NULL);
    lua_settop(L, 1);
    return 1;
}

static int file_flush(lua_State *L)
{
    return result(L, fflush(check_open(L)) == 0, NULL);
}

static int file_seek(lua_State *L)
{
    static const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END};
    static const char *const names[] = {"set", "cur", "end", NULL};
    FILE *f = check_open(L);
    int whence = luaL_checkoption(L, 2, "cur", names);
    lua_Integer offset = luaL_optinteger(L, 3, 0);
    if (fseeko(f, (off_t)offset, whences[whence]) != 0)
        return luaL_fileresult(L, 0, NULL);
    lua_pushinteger(L, (lua_Integer)ftello(f));
    return 1;
}

static int file_setvbuf(lua_State *L)
{
    static const int modes[] = {_IONBF, _IOFBF, _IOLBF};
    static const char *const names[] = {"no", "full", "line", NULL};
    FILE *f = check_open(L);
    int mode = luaL_checkoption(L, 2, NULL, names);
    return result(L, setvbuf(f, NULL, modes[mode], BUFSIZ) == 0, NULL);
}

static void make_metatable(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"close", file_close}, {"flush", file_flush},     {"lines", file_lines}, {"read", file_read},
        {"seek", file_seek},   {"setvbuf", file_setvbuf}, {"write", file_write}, {NULL, NULL},
    };
    static const luaL_Reg meta[] = {
        {"__gc", file_collect},
        {"__close", file_collect},
        {"__tostring", file_tostring},
        {NULL, NULL},
    };
    luaL_newmetatable(L, kind);
    luaL_setfuncs(L, meta, 0);
    lua_pushliteral(L, "FILE*");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, false); /* a script that reached it could put a __gc of its own there */
    lua_setfield(L, -2, "__metatable");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

void lib_io(struct lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"open", io_open}, {"lines", io_lines}, {"type", io_type}, {"close", file_close}, {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
    int *count = lua_newuserdatauv(L, sizeof *count, 0);
    *count = 0;
    lua_rawsetp(L, LUA_REGISTRYINDEX, &count_key);
    make_metatable(L);
}
