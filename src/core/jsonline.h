/* Lines that are one flat JSON object each, read into a struct by a table of its fields: for the files that the core
 * writes itself and reads back without Lua. */
#ifndef FM_JSONLINE_H
#define FM_JSONLINE_H

#include "base.h"

enum jsonline_type {
    JSONLINE_NUMBER, /* uint64_t, up to 18 digits */
    JSONLINE_MS,     /* int64_t; seconds with three digits behind the point, as milliseconds */
    JSONLINE_INT,    /* int, not negative */
    JSONLINE_BOOL,   /* bool */
    JSONLINE_TEXT,   /* char[size]; what does not fit is left out */
    JSONLINE_STRING, /* char *, of malloc, NULL when memory ran out: the caller's to free. It must be NULL before */
    JSONLINE_NAMED,  /* int: the number of a word */
};

struct jsonline_field {
    const char *name;
    enum jsonline_type type;
    size_t offset;                   /* in the struct */
    size_t size;                     /* JSONLINE_TEXT */
    int (*number)(const char *word); /* JSONLINE_NAMED: negative: there is no such word */
};

/* Reads a line (without its newline) into *out. Keys that are not in the table are passed over, whatever their value.
 * false: it is no such object, or a value is not as it must be; some fields may be set then. */
bool jsonline_read(const char *line, size_t len, const struct jsonline_field *fields, size_t nfields, void *out);

/* The number behind `head`, with which the line begins ("{\"seq\":"), when something follows it; else 0. */
uint64_t jsonline_head(const char *line, size_t len, const char *head);

#endif
