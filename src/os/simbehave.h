/* How the starts of each simulated service turn out. */
#ifndef FM_SIMBEHAVE_H
#define FM_SIMBEHAVE_H

#include "world_sim.h"

struct simbehave {
    struct simbehave_setting *items;
    size_t count;
};

/* As world_sim_behave. */
int simbehave_set(struct simbehave *all, const char *service, const struct world_sim_behaviour *b);

/* How the next start of the service turns out; counts it. */
struct world_sim_behaviour simbehave_next(struct simbehave *all, const char *service);

void simbehave_fini(struct simbehave *all);

#endif
