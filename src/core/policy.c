#include "policy.h"

#include <stdio.h>

void policy_core(unsigned failures, struct decision *out)
{
    *out = (struct decision){.kind = DECISION_RESTART};
    if (failures > 0 && failures % (POLICY_BURST + 1) == 0) {
        out->delay_ms = POLICY_PAUSE_MS;
        snprintf(out->reason, sizeof out->reason, "the core's policy waits %d s after %d failures in a row",
                 POLICY_PAUSE_MS / 1000, POLICY_BURST + 1);
    } else {
        snprintf(out->reason, sizeof out->reason, "the core's policy restarts a service that ends");
    }
}
