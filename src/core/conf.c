#include "conf.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a member of struct conf_service is, as far as comparing and freeing it goes. */
enum kind {
    KIND_PLAIN, /* size bytes */
    KIND_TEXT,  /* char *, may be NULL */
    KIND_LIST,  /* char **, NULL-terminated, may be NULL */
};

struct member {
    unsigned field; /* the conf_field it belongs to; 0: compared by nobody */
    enum kind kind;
    size_t offset;
    size_t size; /* of a plain one */
};

#define MEMBER(f, k, m)                                                                                                \
    {                                                                                                                  \
        .field = (f), .kind = (k), .offset = offsetof(struct conf_service, m),                                         \
        .size = sizeof(((struct conf_service *)NULL)->m)                                                               \
    }

static const struct member members[] = {
    MEMBER(0, KIND_TEXT, name),
    MEMBER(CONF_FIELD_CMD, KIND_TEXT, cmd),
    MEMBER(CONF_FIELD_DIR, KIND_TEXT, dir),
    MEMBER(CONF_FIELD_ENVIRON, KIND_TEXT, environ),
    MEMBER(CONF_FIELD_ENV, KIND_LIST, env),
    MEMBER(CONF_FIELD_USER, KIND_TEXT, user),
    MEMBER(CONF_FIELD_GROUP, KIND_TEXT, group),
    MEMBER(CONF_FIELD_UMASK, KIND_PLAIN, umask),
    MEMBER(CONF_FIELD_AUTOSTART, KIND_PLAIN, autostart),
    MEMBER(CONF_FIELD_ESSENTIAL, KIND_PLAIN, essential),
    MEMBER(CONF_FIELD_POLICY, KIND_TEXT, policy),
    MEMBER(CONF_FIELD_POLICY, KIND_TEXT, policy_params),
    MEMBER(CONF_FIELD_STOP, KIND_PLAIN, stop.signal),
    MEMBER(CONF_FIELD_STOP, KIND_PLAIN, stop.timeout_ms),
    MEMBER(CONF_FIELD_STOP, KIND_PLAIN, stop.scope),
    MEMBER(CONF_FIELD_GRACEFUL, KIND_PLAIN, graceful.signal),
    MEMBER(CONF_FIELD_GRACEFUL, KIND_PLAIN, graceful.timeout_ms),
    MEMBER(CONF_FIELD_LOG, KIND_TEXT, log),
    MEMBER(CONF_FIELD_VARS, KIND_TEXT, vars),
};

static const struct {
    enum conf_field field;
    const char *name;
} field_names[] = {
    {CONF_FIELD_CMD, "cmd"},
    {CONF_FIELD_DIR, "dir"},
    {CONF_FIELD_ENVIRON, "environ"},
    {CONF_FIELD_ENV, "env"},
    {CONF_FIELD_USER, "user"},
    {CONF_FIELD_GROUP, "group"},
    {CONF_FIELD_UMASK, "umask"},
    {CONF_FIELD_POLICY, "policy"},
    {CONF_FIELD_AUTOSTART, "autostart"},
    {CONF_FIELD_STOP, "stop"},
    {CONF_FIELD_LOG, "log"},
    {CONF_FIELD_GRACEFUL, "graceful"},
    {CONF_FIELD_VARS, "vars"},
    {CONF_FIELD_ESSENTIAL, "essential"},
};

/* Names the C library does not give (it knows each number by one name). */
static const struct {
    const char *name;
    int number;
} signal_aliases[] = {{"IO", SIGIO}, {"CLD", SIGCHLD}, {"IOT", SIGIOT}};

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

void conf_service_fini(struct conf_service *s)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        void *at = (char *)s + members[i].offset;
        if (members[i].kind == KIND_TEXT)
            free(*(char **)at);
        else if (members[i].kind == KIND_LIST)
            free_list(*(char ***)at);
    }
    *s = (struct conf_service){0};
}

void conf_free(struct conf *conf)
{
    if (!conf)
        return;
    for (size_t i = 0; i < conf->nsvrs; i++)
        conf_service_fini(&conf->svrs[i]);
    free(conf->svrs);
    free_list(conf->bind);
    char *const texts[] = {conf->path,     conf->home,    conf->env,       conf->rundir,
                           conf->rootpath, conf->environ, conf->clog.name, conf->clog.addr,
                           conf->log.day,  conf->vars,    conf->tls.cert,  conf->tls.key};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    free(conf);
}

static int compare_name(const void *key, const void *entry)
{
    const struct conf_service *s = entry;
    return strcmp(key, s->name);
}

const struct conf_service *conf_find(const struct conf *conf, const char *name)
{
    if (!conf->nsvrs)
        return NULL;
    return bsearch(name, conf->svrs, conf->nsvrs, sizeof conf->svrs[0], compare_name);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_list(char *const *a, char *const *b)
{
    if (!a || !b)
        return a == b;
    while (*a && *b && strcmp(*a, *b) == 0)
        a++, b++;
    return !*a && !*b;
}

static bool same_member(const struct member *m, const struct conf_service *a, const struct conf_service *b)
{
    const void *x = (const char *)a + m->offset, *y = (const char *)b + m->offset;
    if (m->kind == KIND_TEXT)
        return same_text(*(char *const *)x, *(char *const *)y);
    if (m->kind == KIND_LIST)
        return same_list(*(char **const *)x, *(char **const *)y);
    return memcmp(x, y, m->size) == 0;
}

unsigned conf_service_diff(const struct conf_service *a, const struct conf_service *b)
{
    unsigned differing = 0;
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (!same_member(&members[i], a, b))
            differing |= members[i].field;
    return differing;
}

const char *conf_field_name(enum conf_field field)
{
    for (size_t i = 0; i < ARRAY_LEN(field_names); i++)
        if (field_names[i].field == field)
            return field_names[i].name;
    return "?";
}

/* The C library keeps the numbers between the classic and the real-time signals for itself. */
static bool is_signal(long number)
{
    return (number >= 1 && number < 32) || (number >= SIGRTMIN && number <= SIGRTMAX);
}

/* All of s as a number of at most three digits, or -1. */
static int small_number(const char *s)
{
    size_t n = strspn(s, "0123456789");
    return n >= 1 && n <= 3 && !s[n] ? atoi(s) : -1;
}

/* "RTMIN", "RTMIN+3", "RTMAX-1"; 0 when it is none of them. */
static int realtime_number(const char *name)
{
    bool from_min = strncasecmp(name, "RTMIN", 5) == 0;
    if (!from_min && strncasecmp(name, "RTMAX", 5) != 0)
        return 0;
    int base = from_min ? SIGRTMIN : SIGRTMAX;
    if (!name[5])
        return base;
    int n = name[5] == (from_min ? '+' : '-') ? small_number(name + 6) : -1;
    int number = from_min ? base + n : base - n;
    return n >= 0 && number >= SIGRTMIN && number <= SIGRTMAX ? number : 0;
}

int conf_signal_number(const char *name)
{
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    int number = small_number(name);
    if (number >= 0)
        return is_signal(number) ? number : 0;
    for (int i = 1; i < 32; i++) {
        const char *known = sigabbrev_np(i);
        if (known && strcasecmp(known, name) == 0)
            return i;
    }
    for (size_t i = 0; i < ARRAY_LEN(signal_aliases); i++)
        if (strcasecmp(signal_aliases[i].name, name) == 0)
            return signal_aliases[i].number;
    return realtime_number(name);
}

const char *conf_signal_name(int number)
{
    /* One text per number, so that two of them can stand in one message; the last is for what is no signal. */
    static char names[66][16];
    size_t slot = number > 0 && number < 65 ? (size_t)number : 65;
    const char *known = number > 0 && number < 32 ? sigabbrev_np(number) : NULL;
    if (known)
        snprintf(names[slot], sizeof names[slot], "SIG%s", known);
    else
        snprintf(names[slot], sizeof names[slot], "SIG%d", number);
    return names[slot];
}

uint32_t conf_mark(const char *text)
{
    uint32_t h = 2166136261U; /* FNV-1a */
    for (const char *p = text; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619U;
    return h ? h : 1;
}
