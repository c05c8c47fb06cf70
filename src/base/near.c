#include "near.h"

#include <ctype.h>
#include <string.h>

#define WORD_MAX 64

static char low(char c)
{
    return (char)tolower((unsigned char)c);
}

unsigned near_limit(size_t len)
{
    return len <= 3 ? 1 : len <= 8 ? 2 : 3;
}

unsigned near_distance(const char *word, size_t len, const char *known, unsigned limit)
{
    size_t known_len = strlen(known);
    if (len > WORD_MAX || known_len > WORD_MAX)
        return limit + 1;
    /* d[i][j]: the first i letters of the word against the first j of the known one. */
    unsigned char d[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t j = 0; j <= known_len; j++)
        d[0][j] = (unsigned char)j;
    for (size_t i = 1; i <= len; i++) {
        d[i][0] = (unsigned char)i;
        for (size_t j = 1; j <= known_len; j++) {
            char a = low(word[i - 1]), b = low(known[j - 1]);
            unsigned best = d[i - 1][j - 1] + (a != b);
            best = MIN(best, d[i - 1][j] + 1U);
            best = MIN(best, d[i][j - 1] + 1U);
            if (i > 1 && j > 1 && a == low(known[j - 2]) && low(word[i - 2]) == b)
                best = MIN(best, d[i - 2][j - 2] + 1U);
            d[i][j] = (unsigned char)best;
        }
    }
    return MIN(d[len][known_len], limit + 1);
}
