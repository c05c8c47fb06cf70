/* Lines of the journal, read back. The opposite of event_json. */
#ifndef FM_EVENT_LINE_H
#define FM_EVENT_LINE_H

#include "event.h"

#define EVENT_SERVICE_SIZE 256 /* room for the name of any service */

/* The number of the event, from the first bytes of a line; 0: this is no line of a journal. */
uint64_t event_line_seq(const char *line, size_t len);

/* Reads a line (without its newline). Keys that are not known are passed over. false: it is
 * not whole, or not an event we know. `service` becomes "" for the monitor's own. */
bool event_line_parse(const char *line, size_t len, struct event *e, char service[EVENT_SERVICE_SIZE]);

#endif
