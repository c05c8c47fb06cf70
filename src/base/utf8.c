#include "utf8.h"

#include <locale.h>
#include <wchar.h>

size_t utf8_len(const char *text, size_t left)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char c = s[0];
    size_t n = c < 0x80 ? 1 : c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) || (c == 0xf0 && s[1] < 0x90) ||
        (c == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

size_t utf8_cut(const char *s, size_t len, size_t max)
{
    if (len <= max)
        return len;
    size_t n = max;
    while (n > max - 3 && ((unsigned char)s[n] & 0xc0) == 0x80)
        n--;
    return n;
}

/* The valid sequence of n bytes at s. */
static wchar_t decode(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    if (n == 1)
        return s[0];
    wchar_t c = s[0] & (0x7f >> n);
    for (size_t i = 1; i < n; i++)
        c = (wchar_t)(c << 6 | (s[i] & 0x3f));
    return c;
}

/* The tables of wcwidth belong to a locale. This one is part of every C library we run on; should it be missing, all
 * but ASCII has one column. Kept: it is loaded but once, by whoever needs it at all. */
static locale_t wide_locale(void)
{
    static locale_t kept;
    if (!kept)
        kept = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    return kept;
}

unsigned utf8_width(const char *s, size_t len)
{
    unsigned width = 0;
    locale_t before = (locale_t)0;
    for (size_t at = 0, n; at < len; at += n) {
        n = utf8_len(s + at, len - at);
        if (n <= 1) {
            width += n == 0 || ((unsigned char)s[at] >= ' ' && s[at] != 127);
            n = 1;
            continue;
        }
        if (!before && wide_locale())
            before = uselocale(wide_locale());
        int w = before ? wcwidth(decode(s + at, n)) : 1;
        width += (unsigned)MAX(w, 0);
    }
    if (before)
        uselocale(before);
    return width;
}
