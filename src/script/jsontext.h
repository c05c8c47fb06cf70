/* Work on JSON as text: what the decoder does not tell (where a value stands,
 * which key was given twice) or does not know (comments).
 *
 * Offsets are bytes from the start of the text, from 0. Lines and columns count
 * from 1; a column is a character, not a byte. All functions run in time linear
 * in the text (duplicates: n log n) and bear broken JSON: what they answer for it
 * is then as good as it can be, and they never read past the end. */
#ifndef FM_JSONTEXT_H
#define FM_JSONTEXT_H

#include "base.h"
#include "buf.h"
#include "jsonpath.h"

/* Puts blanks in the place of comments, so that all offsets stay; line ends
 * within them stay too. False when a block comment is never closed: *bad is the
 * offset where it begins. */
bool jsontext_blank(char *text, size_t len, size_t *bad);

/* Where an unfinished string begins: true and its offset; false when there is none. */
bool jsontext_open_string(const char *text, size_t len, size_t *offset);

void jsontext_position(const char *text, size_t len, size_t offset, int *line, int *column);

/* Follows the steps from the top value as far as the text goes. Returns how many
 * of them were found; *offset is where the key (or element) of the last of those
 * begins, that of the top value when there is none. */
size_t jsontext_find(const char *text, size_t len, const struct jsonpath_step *steps, size_t nsteps, size_t *offset);

/* Looks for an object that has one key twice; escapes are taken into account.
 * 0 when there is none; -EEXIST: *first and *second are the offsets of the two
 * keys, of all pairs the one whose second stands first; -ENOMEM. */
int jsontext_duplicate(const char *text, size_t len, size_t *first, size_t *second);

/* Adds the dotted path of the key or value that begins before `end` and is still
 * open there; nothing for the top value. */
void jsontext_path_at(const char *text, size_t len, size_t end, struct buf *out);

#endif
