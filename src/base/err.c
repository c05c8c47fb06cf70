#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool err_set(struct err *err, const char *fmt, ...)
{
    if (!err)
        return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return false;
}

bool err_set_at(struct err *err, const char *file, int line, int column, const char *fmt, ...)
{
    if (!err)
        return false;
    int n = 0;
    if (line > 0 && column > 0)
        n = snprintf(err->text, sizeof err->text, "%s:%d:%d: ", file, line, column);
    else if (line > 0)
        n = snprintf(err->text, sizeof err->text, "%s:%d: ", file, line);
    else
        n = snprintf(err->text, sizeof err->text, "%s: ", file);
    if (n < 0 || (size_t)n >= sizeof err->text)
        return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text + n, sizeof err->text - (size_t)n, fmt, ap);
    va_end(ap);
    return false;
}

bool err_prefix(struct err *err, const char *fmt, ...)
{
    if (!err)
        return false;
    char head[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(head, sizeof head, fmt, ap);
    va_end(ap);
    struct err old = *err;
    err_set(err, "%s: %s", head, old.text);
    return false;
}

bool err_nomem(struct err *err)
{
    if (err)
        memcpy(err->text, "out of memory", sizeof "out of memory");
    return false;
}
