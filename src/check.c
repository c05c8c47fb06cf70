#include "check.h"

#include "buf.h"
#include "clog.h"
#include "command.h"
#include "home.h"
#include "load.h"

#include <stdio.h>
#include <string.h>

static int complain(const struct err *err, bool json)
{
    struct buf text = {0};
    buf_adds(&text, "{\"error\":{\"code\":\"configuration\",\"message\":");
    buf_add_json(&text, err->text);
    buf_adds(&text, "}}");
    if (json)
        fprintf(stderr, "%s\n", buf_str(&text));
    else
        fprintf(stderr, "Error: %s\n", err->text);
    buf_fini(&text);
    return EXIT_USAGE;
}

static void print_text(const struct loaded *world, const struct buf *listing)
{
    const struct conf *conf = world->conf;
    printf("%s: env %s is well: %zu service%s", conf->path, conf->env, conf->nsvrs, conf->nsvrs == 1 ? "" : "s");
    if (world->scripts)
        printf(", %zu script%s", world->scripts->nfiles, world->scripts->nfiles == 1 ? "" : "s");
    printf("\n%s", buf_str(listing));
}

static void print_json(struct loaded *world, const struct buf *listing)
{
    const struct conf *conf = world->conf;
    struct buf b = {0};
    bool first = true;
    buf_adds(&b, "{\"ok\":true,\"path\":");
    buf_add_json(&b, conf->path);
    buf_adds(&b, ",\"env\":");
    buf_add_json(&b, conf->env);
    buf_addf(&b, ",\"services\":%zu,\"scripts\":%zu,\"warnings\":[", conf->nsvrs,
             world->scripts ? world->scripts->nfiles : 0);
    for (char *rest = world->warnings, *line; rest && (line = strsep(&rest, "\n"));)
        if (*line) {
            buf_adds(&b, first ? "" : ",");
            buf_add_json(&b, line);
            first = false;
        }
    buf_adds(&b, "],\"values\":[\n");
    buf_add(&b, listing->data, listing->len);
    buf_adds(&b, "]}\n");
    fputs(buf_str(&b), stdout);
    buf_fini(&b);
}

static void warn(struct loaded *world)
{
    for (char *rest = world->warnings, *line; rest && (line = strsep(&rest, "\n"));)
        if (*line)
            clog_warn("%s", line);
}

int check(const struct options *o)
{
    char home[PATH_MAX];
    struct err err = {0};
    struct buf listing = {0};
    struct loaded world;
    bool json = options_want_json(o);
    const struct confload_input in = {
        .home = home, .env = o->env, .overrides = o->conf, .listing = &listing, .listing_json = json};
    int code = EXIT_OK;
    if (!home_find(o->home, home, &err) || !load_all(&in, command_is_reserved, &world, &err)) {
        code = complain(&err, json);
    } else {
        if (json) {
            print_json(&world, &listing);
        } else {
            warn(&world);
            print_text(&world, &listing);
        }
        loaded_fini(&world);
    }
    buf_fini(&listing);
    return code;
}
