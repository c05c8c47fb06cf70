/* A monitor in a simulated world: scripts and configuration as in the real one, processes
 * and time made up (world_sim). Nothing is started, nothing is written. */
#ifndef FM_SIMWORLD_H
#define FM_SIMWORLD_H

#include "monitor.h"
#include "scripts.h"
#include "world_sim.h"

/* Where it comes from. Borrowed as long as the world lives. */
struct simworld_input {
    const char *home, *env;
    bool (*reserved)(const char *name); /* see scripts_new */
    int64_t wall_ms;                    /* the clock at the beginning */
};

struct simworld {
    const struct simworld_input *in;
    struct world *world;
    struct scripts *scripts;
    struct monitor *mon; /* NULL until simworld_start */
};

/* Makes the world and a state for scripts, none of which was run yet, with the clock of the world and always the same
 * random numbers. False with a message. */
bool simworld_open(struct simworld *w, const struct simworld_input *in, struct err *err);

/* Runs the scripts of home within the limits a monitor has by default. */
bool simworld_load(struct simworld *w, struct err *err);

/* A configuration of text, one object as in conf.json, where the policies of the scripts may be named. NULL with a
 * message: the dotted path and what is wrong there. */
struct conf *simworld_conf(const struct simworld *w, const char *text, struct err *err);

/* Starts the monitor. Takes conf over, also when it fails. */
bool simworld_start(struct simworld *w, struct conf *conf, struct err *err);

/* Another configuration from now on, as with a reload. Takes conf over, also when it fails. */
bool simworld_change(struct simworld *w, struct conf *conf, struct err *err);

/* Lets time pass up to the next thing that happens, but no further than until_ms (of the clock that never jumps).
 * False when that is reached. */
bool simworld_step(struct simworld *w, int64_t until_ms);

int64_t simworld_now_ms(const struct simworld *w);

/* Frees everything. A zeroed one is allowed. */
void simworld_close(struct simworld *w);

#endif
