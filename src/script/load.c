#include "load.h"

#include "vm.h"

#include <stdlib.h>

void loaded_fini(struct loaded *l)
{
    conf_free(l->conf);
    scripts_free(l->scripts);
    free(l->warnings);
    *l = (struct loaded){0};
}

/* Without scripts the state is only needed to read the file. */
static bool load_plain(const struct confload_input *in, struct loaded *out, struct err *err)
{
    static char *const none[] = {NULL};
    struct confload_input own = *in;
    struct vm *vm = vm_new(0, err);
    own.policies = none;
    out->conf = vm ? confload(vm_state(vm), &own, &out->warnings, err) : NULL;
    vm_free(vm);
    return out->conf;
}

bool load_all(const struct confload_input *in, bool (*reserved)(const char *name), struct loaded *out, struct err *err)
{
    struct confload_input own = *in;
    *out = (struct loaded){0};
    if (!scripts_found(in->home))
        return load_plain(in, out, err);
    out->scripts = own.scripts = scripts_new(in->home, in->env, reserved, err);
    if (out->scripts)
        out->conf = confload(vm_state(own.scripts->vm), &own, &out->warnings, err);
    if (!out->conf)
        loaded_fini(out);
    return out->conf;
}
