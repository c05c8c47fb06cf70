/* Overlays of scripts (fm.overlay): run over the chosen env, between the file and -conf. */
#ifndef FM_OVERLAY_H
#define FM_OVERLAY_H

#include "confsource.h"
#include "scripts.h"

/* Loads the scripts with the limits that the table says (`lua`), then runs every overlay
 * meant for the env over the table, which is the value of that registry reference. What
 * they changed is put into `source`. False with a message that names script and line. */
bool overlay_apply(struct scripts *s, int table_ref, struct confsource *source, struct err *err);

#endif
