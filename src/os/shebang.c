#include "shebang.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Length of a name without its version: "python3.11" is "python". */
static size_t bare_length(const char *name)
{
    size_t n = strlen(name);
    while (n > 1 && (isdigit((unsigned char)name[n - 1]) || name[n - 1] == '.' || name[n - 1] == '-'))
        n--;
    return n;
}

static bool is_shell(const char *name)
{
    static const char *const shells[] = {"sh", "dash", "bash", "ash", "ksh", "zsh", "busybox"};
    for (size_t i = 0; i < ARRAY_LEN(shells); i++)
        if (!strcmp(name, shells[i]))
            return true;
    return false;
}

/* The name of the interpreter in a first line; cuts the line up. NULL: there is none. */
static const char *interpreter(char *line)
{
    if (strncmp(line, "#!", 2) != 0)
        return NULL;
    line[strcspn(line, "\n")] = 0;
    char *rest = line + 2, *word = strtok_r(rest, " \t", &rest);
    if (!word || strcmp(file_name(word), "env") != 0)
        return word ? file_name(word) : NULL;
    /* env's own options and assignments come before the program */
    while ((word = strtok_r(NULL, " \t", &rest)))
        if (word[0] != '-' && !strchr(word, '='))
            return file_name(word);
    return NULL;
}

bool shebang_fits(const char *script, const char *exe)
{
    char line[256];
    int fd = exe ? open(script, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    ssize_t n = fd >= 0 ? read(fd, line, sizeof line - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    line[n] = 0;
    const char *want = interpreter(line), *have = exe ? file_name(exe) : "";
    if (!want)
        return false;
    size_t length = bare_length(want);
    return (length == bare_length(have) && !strncmp(want, have, length)) || (is_shell(want) && is_shell(have));
}
