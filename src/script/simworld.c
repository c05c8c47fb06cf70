#include "simworld.h"

#include "confload.h"
#include "reconf.h"
#include "vm.h"

#include <stdlib.h>
#include <string.h>

#define BEGIN_MONO_MS 1000000 /* the host has been up for a while */
#define SEED 1

static int64_t wall_ms(void *arg)
{
    struct world *w = arg;
    return w->ops->wall_ms(w);
}

bool simworld_open(struct simworld *w, const struct simworld_input *in, struct err *err)
{
    *w = (struct simworld){.in = in, .world = world_sim_new(BEGIN_MONO_MS, in->wall_ms)};
    if (!w->world)
        return err_nomem(err);
    w->scripts = scripts_new(in->home, in->env, in->reserved, err);
    if (!w->scripts)
        return false;
    vm_set_clock(w->scripts->vm, wall_ms, w->world);
    vm_seed(w->scripts->vm, SEED);
    return true;
}

bool simworld_load(struct simworld *w, struct err *err)
{
    static const struct conf_lua limits = {.budget_ms = CONFLOAD_BUDGET_MS, .memory_mb = CONFLOAD_MEMORY_MB};
    return scripts_load(w->scripts, &limits, err);
}

/* Messages name the file, line and column first, which nobody has written. */
static void drop_place(struct err *err)
{
    const char *rest = err ? strstr(err->text, ": ") : NULL;
    if (rest && !strncmp(err->text, "conf.json", 9))
        memmove(err->text, rest + 2, strlen(rest + 2) + 1);
}

struct conf *simworld_conf(const struct simworld *w, const char *text, struct err *err)
{
    struct buf all = {0};
    buf_addc(&all, '{');
    buf_add_json(&all, w->in->env);
    buf_addf(&all, ":%s}", text);
    struct confload_input in = {
        .home = w->in->home, .env = w->in->env, .text = buf_str(&all), .policies = w->scripts->policies};
    struct vm *vm = all.failed ? NULL : vm_new(0, err); /* the budget of the other one is on */
    struct conf *conf = vm ? confload(vm_state(vm), &in, NULL, err) : NULL;
    if (all.failed)
        err_nomem(err);
    vm_free(vm);
    buf_fini(&all);
    if (!conf) {
        drop_place(err);
        return NULL;
    }
    free(conf->rundir);
    conf->rundir = NULL;
    return conf;
}

static void limit(const struct simworld *w)
{
    vm_set_budget(w->scripts->vm, w->mon->conf->lua.budget_ms);
    vm_set_memory(w->scripts->vm, w->mon->conf->lua.memory_mb);
}

bool simworld_start(struct simworld *w, struct conf *conf, struct err *err)
{
    w->mon = monitor_new(w->world, conf, err);
    if (!w->mon)
        return false;
    limit(w);
    scripts_attach(w->scripts, w->mon, NULL);
    monitor_start(w->mon);
    world_timer_clear(w->world, &w->mon->probe); /* here every end is told, and months shall pass quickly */
    scripts_start(w->scripts);
    return true;
}

bool simworld_change(struct simworld *w, struct conf *conf, struct err *err)
{
    struct reconf plan;
    if (reconf_plan(w->mon, conf, &plan)) {
        conf_free(conf);
        return err_nomem(err);
    }
    uint64_t cause = monitor_note(w->mon, NULL, EVENT_COMMAND, 0, "reload asked for by the simulation");
    bool ok = reconf_apply(w->mon, conf, &plan, cause, err);
    reconf_fini(&plan);
    if (ok)
        limit(w);
    else
        conf_free(conf);
    return ok;
}

int64_t simworld_now_ms(const struct simworld *w)
{
    return w->world->ops->mono_ms(w->world);
}

bool simworld_step(struct simworld *w, int64_t until_ms)
{
    int64_t left = until_ms - simworld_now_ms(w), next = world_sim_next_ms(w->world);
    bool reached = next < 0 || next > left;
    world_sim_advance(w->world, reached ? MAX(left, 0) : next);
    return !reached;
}

void simworld_close(struct simworld *w)
{
    scripts_free(w->scripts);
    if (w->mon)
        monitor_free(w->mon);
    if (w->world)
        world_sim_free(w->world);
    *w = (struct simworld){0};
}
