/* What a client of the admin port sends: request line, headers, query, form, over a real connection into libmicrohttpd,
 * and from there to the commands of a monitor in a simulated world. The first byte says what auth is ('l', 't', 'o').
 */
#include "fuzz.h"

#include "call.h"
#include "clog.h"
#include "load.h"
#include "mhd.h"
#include "monitor.h"
#include "world_sim.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#define TURNS 400

static struct admin admin;
static struct call_shared shared;
static struct MHD_Daemon *mhd;
static struct world *world;

static bool read_nothing(void *arg, struct loaded *out, struct err *err)
{
    (void)arg;
    *out = (struct loaded){0};
    return err_set(err, "there is no conf.json here");
}

static void upgrade_to_nothing(void *arg, struct request *r)
{
    (void)arg;
    request_fail(r, 500, EXIT_COMMAND, "upgrade", "there is no other program here");
}

static void shut_nothing_down(void *arg, const struct request *r)
{
    (void)arg;
    (void)r;
}

/* Answers in pieces, with what it was given. */
static void run_echo(struct request *r)
{
    for (size_t i = 0; i < r->nargs; i++) {
        request_write(r, r->args[i].key, strlen(r->args[i].key));
        request_write(r, r->args[i].value, strlen(r->args[i].value));
    }
    request_done(r, 200, EXIT_OK);
}

static const struct command echo = {.name = "echo", .changes = true, .any_args = true, .run = run_echo};
static const struct command *const commands[] = {&echo};
static struct command_table table = {.commands = commands, .count = 1};

static char *copy(const char *text)
{
    char *s = strdup(text);
    MUST(s);
    return s;
}

static struct conf *make_conf(void)
{
    static const char *const names[] = {"alpha", "beta"};
    struct conf *c = calloc(1, sizeof *c);
    MUST(c && (c->svrs = calloc(3, sizeof *c->svrs)));
    c->path = copy("conf.json");
    c->home = copy("/home/fm");
    c->env = copy("test");
    c->rootpath = copy("/srv");
    c->environ = copy("");
    c->log.day = copy("%-d");
    c->clog.name = copy("fota_monitor");
    c->http = (struct conf_http){.idle_timeout = 60, .backlog_kb = 64, .body_kb = 16, .refused_delay_ms = 2000};
    for (; c->nsvrs < ARRAY_LEN(names); c->nsvrs++)
        c->svrs[c->nsvrs] = (struct conf_service){.name = copy(names[c->nsvrs]),
                                                  .cmd = copy("/srv/x/x --serve"),
                                                  .umask = -1,
                                                  .autostart = true,
                                                  .stop = {.signal = SIGTERM, .timeout_ms = 100},
                                                  .graceful = {.signal = SIGHUP, .timeout_ms = 100}};
    return c;
}

static void set_up(void)
{
    struct err err = {0};
    clog_configure(0, 0);
    signal(SIGPIPE, SIG_IGN);
    MUST(mhd_load(&err));
    world = world_sim_new(3600000, 1767225600000);
    MUST(world);
    admin = (struct admin){.mon = monitor_new(world, make_conf(), &err),
                           .read = read_nothing,
                           .upgrade = upgrade_to_nothing,
                           .shutdown = shut_nothing_down};
    MUST(admin.mon);
    snprintf(admin.token, sizeof admin.token, "%064d", 7);
    monitor_start(admin.mon);
    command_set_extra(&admin, &table);
    admin.refusals = &shared.refusals;
    shared.admin = &admin;
    mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                           call_handle, &shared, MHD_OPTION_NOTIFY_COMPLETED, call_completed, NULL,
                           MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16 * 1024, MHD_OPTION_END);
    MUST(mhd);
}

/* One turn of what would be the loop; false: the client's end has been closed. */
static bool turn(int fd)
{
    char answer[16384];
    ssize_t n;
    MHD_run(mhd);
    call_sweep(&shared);
    int64_t next = world_sim_next_ms(world);
    world_sim_advance(world, next < 0 ? 1000 : MIN(next, 1000));
    monitor_flush(admin.mon);
    while ((n = recv(fd, answer, sizeof answer, MSG_DONTWAIT)) > 0)
        ;
    return n != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum conf_auth kinds[] = {['l'] = CONF_AUTH_LOCAL, ['t'] = CONF_AUTH_TOKEN, ['o'] = CONF_AUTH_OPEN};
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001), .sin_port = htons(1234)};
    int pair[2], turns = 0;
    if (!mhd)
        set_up();
    if (!size || size > 65536)
        return 0;
    admin.mon->conf->auth = data[0] < ARRAY_LEN(kinds) ? kinds[data[0]] : CONF_AUTH_LOCAL;
    MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
    MUST(send(pair[0], data + 1, size - 1, 0) == (ssize_t)size - 1);
    MUST(!shutdown(pair[0], SHUT_WR));
    MUST(MHD_add_connection(mhd, pair[1], (struct sockaddr *)&peer, sizeof peer) == MHD_YES);
    while (turns < TURNS && turn(pair[0]))
        turns++;
    close(pair[0]);
    for (turns = 0; turns < TURNS && shared.calls; turns++)
        turn(-1);
    MUST(!shared.calls && !shared.refusals.held);
    return 0;
}
