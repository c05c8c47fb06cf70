/* The answers of status: as the Go tool printed it, as a table, as JSON. */
#ifndef FM_STATUS_H
#define FM_STATUS_H

#include "buf.h"
#include "request.h"

/* Adds the status of the services of the request; returns whether all of them are up. */
bool status_render(struct request *r);

#endif
