/* Events told in plain sentences: the history of a service, and why it is as it is. */
#ifndef FM_STORY_H
#define FM_STORY_H

#include "buf.h"
#include "event.h"
#include "recall.h"

/* Adds one event as a sentence, without time and newline: "exited with code 3 after 0.2 s, for the 6th time in a row".
 */
void story_sentence(struct buf *b, const struct event *e);

/* Adds one event as a line: "2026-11-22 14:02:11.123 SERVICE: sentence". NULL: without the service. */
void story_line(struct buf *b, const char *service, const struct event *e);

/* Adds the last `lines` of these events (0: all), oldest first: "2026-11-22 14:02:11.123 sentence" each. */
void story_history(struct buf *b, const struct event_ring *events, size_t lines);

/* Adds why the service is in its state: one line that says it, then the causes, the
 * nearest first, each with its time and indented. */
void story_why(struct buf *b, const struct recall *r, const struct service *s);

#endif
