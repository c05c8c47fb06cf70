/* The text of -conf: taken apart, and put into a configuration. */
#include "fuzz.h"

#include "conf.h"
#include "confload.h"
#include "confset.h"
#include "vm.h"

static const char base[] =
    "{\"dev\":{\"port\":1,\"svrs\":{\"a\":\"bin/a -x\",\"b.c\":{\"cmd\":\"b\",\"stop\":{\"signal\":"
    "\"INT\"},\"env\":{\"K\":\"v\"},\"policy\":\"p\"}},\"bind\":[\"127.0.0.1\"],"
    "\"vars\":{\"list\":[1,{\"x\":[]}]}}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    struct confset set = {0};
    struct vm *vm = vm_new(64, &err);
    char *text = fuzz_text(data, size), *warnings = NULL;
    MUST(vm);
    bool parsed = confset_parse(&set, text, &err);
    MUST(parsed == !err.text[0]);
    for (size_t i = 0; parsed && i < set.n; i++)
        MUST(set.items[i].nsteps >= 1 && set.items[i].nsteps <= CONFSET_DEPTH && set.items[i].text >= text &&
             set.items[i].value + set.items[i].value_len <= text + size);
    confset_fini(&set);

    struct buf listing = {0};
    const struct confload_input in = {
        .home = "/nonexistent", .env = "dev", .text = base, .overrides = text, .listing = &listing};
    err = (struct err){0};
    struct conf *conf = confload(vm_state(vm), &in, &warnings, &err);
    MUST(!conf == !!err.text[0]);
    MUST(parsed || !conf);
    conf_free(conf);
    buf_fini(&listing);
    free(warnings);
    free(text);
    vm_free(vm);
    return 0;
}
