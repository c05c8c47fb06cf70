#include "metrics.h"

#include "consoles.h"
#include "facts.h"
#include "refusals.h"
#include "scripts.h"
#include "vm.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define ROW_NS UINT64_C(1000000)
#define WINDOW_NS (60 * UINT64_C(1000000000))

/* ---- the text format */

void metrics_head(struct buf *b, const char *name, enum metrics_type type, const char *help)
{
    buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type == METRICS_COUNTER ? "counter" : "gauge");
}

static void add_label(struct buf *b, const char *label, const char *of)
{
    buf_addc(b, '{');
    buf_adds(b, label);
    buf_adds(b, "=\"");
    for (size_t n; *of; of += n) {
        n = strcspn(of, "\\\"\n");
        buf_add(b, of, n);
        if (of[n]) {
            buf_addc(b, '\\');
            buf_addc(b, of[n] == '\n' ? 'n' : of[n]);
            n++;
        }
    }
    buf_adds(b, "\"}");
}

/* Thousands of them are made at a time: quicker than printf. */
static void add_number(struct buf *b, uint64_t n)
{
    char digits[24], *p = digits + sizeof digits;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    buf_add(b, p, (size_t)(digits + sizeof digits - p));
}

/* The beginning of a value's line; returns it without its sign. */
static uint64_t begin_value(struct buf *b, const char *name, const char *label, const char *of, int64_t value)
{
    buf_adds(b, name);
    if (label)
        add_label(b, label, of);
    buf_adds(b, value < 0 ? " -" : " ");
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

void metrics_value(struct buf *b, const char *name, const char *label, const char *of, int64_t value)
{
    add_number(b, begin_value(b, name, label, of, value));
    buf_addc(b, '\n');
}

void metrics_milli(struct buf *b, const char *name, const char *label, const char *of, int64_t thousandths)
{
    uint64_t n = begin_value(b, name, label, of, thousandths);
    unsigned rest = (unsigned)(n % 1000);
    char end[] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10), (char)('0' + rest % 10), '\n', 0};
    add_number(b, n / 1000);
    buf_adds(b, end);
}

/* ---- services */

static bool up(const struct service *s, const struct fact *f, int64_t *out)
{
    (void)f;
    *out = s->state == STATE_UP;
    return true;
}

static bool wanted(const struct service *s, const struct fact *f, int64_t *out)
{
    (void)f;
    *out = s->want == WANT_UP;
    return true;
}

static bool restarts(const struct service *s, const struct fact *f, int64_t *out)
{
    (void)f;
    *out = s->restarts;
    return true;
}

static bool failures(const struct service *s, const struct fact *f, int64_t *out)
{
    (void)f;
    *out = service_failures(s);
    return true;
}

static bool uptime(const struct service *s, const struct fact *f, int64_t *out)
{
    (void)f;
    *out = service_uptime_ms(s);
    return s->proc.pid != 0;
}

static bool last_exit(const struct service *s, const struct fact *f, int64_t *out)
{
    (void)f;
    const struct proc_exit *how = &s->last_exit.how;
    *out = how->signal ? 128 + how->signal : how->code;
    return s->last_exit.valid && s->last_exit.started && how->known;
}

static bool cpu(const struct service *s, const struct fact *f, int64_t *out)
{
    *out = f->cpu_ms;
    return f->known && f->pid == s->proc.pid;
}

static bool resident(const struct service *s, const struct fact *f, int64_t *out)
{
    *out = f->rss_kib * 1024;
    return f->known && f->pid == s->proc.pid;
}

static bool descriptors(const struct service *s, const struct fact *f, int64_t *out)
{
    *out = f->fds;
    return f->known && f->fds >= 0 && f->pid == s->proc.pid;
}

static const struct service_metric {
    const char *name;
    enum metrics_type type;
    const char *help;
    bool (*value)(const struct service *s, const struct fact *f, int64_t *out); /* false: it has none */
    bool milli;                                                                 /* in thousandths */
} service_metrics[] = {
    {"fota_monitor_service_up", METRICS_GAUGE, "Whether the service is up.", up, false},
    {"fota_monitor_service_wanted", METRICS_GAUGE, "Whether the service is wanted to be up.", wanted, false},
    {"fota_monitor_service_restarts_total", METRICS_COUNTER, "Processes started after one that ended.", restarts,
     false},
    {"fota_monitor_service_failures", METRICS_GAUGE, "Ends in a row that nobody asked for.", failures, false},
    {"fota_monitor_service_uptime_seconds", METRICS_GAUGE, "How long the process has been running.", uptime, true},
    {"fota_monitor_service_last_exit_code", METRICS_GAUGE,
     "Exit code of the process before; 128 and its number for a signal.", last_exit, false},
    {"fota_monitor_service_cpu_seconds_total", METRICS_COUNTER, "CPU time of the watched process, user and system.",
     cpu, true},
    {"fota_monitor_service_resident_memory_bytes", METRICS_GAUGE, "Resident memory of the watched process.", resident,
     false},
    {"fota_monitor_service_open_fds", METRICS_GAUGE, "Open descriptors of the watched process.", descriptors, false},
};

static void add_services(struct buf *b, const struct monitor *m, const struct fact *facts)
{
    for (size_t k = 0; k < ARRAY_LEN(service_metrics); k++) {
        const struct service_metric *metric = &service_metrics[k];
        metrics_head(b, metric->name, metric->type, metric->help);
        for (size_t i = 0; i < m->nsvcs; i++) {
            const struct service *s = m->svcs[i];
            int64_t value;
            if (metric->value(s, &facts[i], &value))
                (metric->milli ? metrics_milli : metrics_value)(b, metric->name, "service", s->conf->name, value);
        }
    }
}

/* ---- the monitor */

static void add_one(struct buf *b, const char *name, enum metrics_type type, const char *help, int64_t value)
{
    metrics_head(b, name, type, help);
    metrics_value(b, name, NULL, NULL, value);
}

static void add_one_milli(struct buf *b, const char *name, enum metrics_type type, const char *help, int64_t value)
{
    metrics_head(b, name, type, help);
    metrics_milli(b, name, NULL, NULL, value);
}

static void add_states(struct buf *b, const struct monitor *m)
{
    static const char name[] = "fota_monitor_services";
    int64_t count[MACHINE_STATES] = {0};
    for (size_t i = 0; i < m->nsvcs; i++)
        count[m->svcs[i]->state]++;
    metrics_head(b, name, METRICS_GAUGE, "Services by state.");
    for (int i = 0; i < MACHINE_STATES; i++)
        metrics_value(b, name, "state", machine_state_name((enum machine_state)i), count[i]);
}

static void add_monitor(struct buf *b, const struct admin *a)
{
    const struct monitor *m = a->mon;
    metrics_head(b, "fota_monitor_info", METRICS_GAUGE, "The monitor's version and env.");
    buf_adds(b, "fota_monitor_info{version=\"" FM_VERSION "\",env=");
    buf_add_json(b, m->conf->env); /* of the letters an env may have none is written in another way */
    buf_adds(b, "} 1\n");
    add_states(b, m);
    add_one(b, "fota_monitor_probes_total", METRICS_COUNTER, "Looks at a service's process.", (int64_t)m->probes);
    add_one(b, "fota_monitor_process_scans_total", METRICS_COUNTER, "Looks at the whole process table.",
            (int64_t)m->scans);
    add_one(b, "fota_monitor_requests_total", METRICS_COUNTER, "Requests to the admin port.", (int64_t)a->requests);
    add_one(b, "fota_monitor_events_total", METRICS_COUNTER, "Events in the journal, those of earlier monitors too.",
            (int64_t)m->journal.last_seq);
    add_one(b, "fota_monitor_events_lost_total", METRICS_COUNTER, "Events that could not be written to the journal.",
            (int64_t)m->journal.lost);
}

static void add_refusals(struct buf *b, const struct refusals *rf)
{
    static const char name[] = "fota_monitor_refused_total";
    metrics_head(b, name, METRICS_COUNTER, "Requests to the admin port that were refused.");
    for (int i = 0; i < REFUSALS; i++)
        metrics_value(b, name, "reason", refusals_name((enum refusal)i), (int64_t)rf->counts[i]);
    metrics_head(b, "fota_monitor_refused_held", METRICS_GAUGE, "Refusals whose answer is held back now.");
    metrics_value(b, "fota_monitor_refused_held", NULL, NULL, rf->held);
}

static void add_logs(struct buf *b, const struct consoles_counts *c)
{
    add_one(b, "fota_monitor_log_rotations_total", METRICS_COUNTER, "Times that lines of a console log were moved.",
            (int64_t)c->rotations);
    add_one(b, "fota_monitor_log_rotated_bytes_total", METRICS_COUNTER, "Bytes of console logs that were moved.",
            (int64_t)c->bytes);
    add_one(b, "fota_monitor_log_failures_total", METRICS_COUNTER, "Tries to move lines that failed.",
            (int64_t)c->failures);
    add_one(b, "fota_monitor_log_emptied_total", METRICS_COUNTER,
            "Logs emptied because their file system allows nothing better; each may have lost a line.",
            (int64_t)c->emptied);
}

/* The monitor's own process, under the names that Prometheus' own clients use. */
static void add_process(struct buf *b, const struct monitor *m)
{
    struct procfs_stat st;
    struct rlimit limit;
    if (!procfs_stat(getpid(), &st))
        return;
    int64_t started_ms = m->start_wall_ms - (m->start_ms - procfs_start_ms(st.start_ticks));
    add_one_milli(b, "process_cpu_seconds_total", METRICS_COUNTER, "CPU time of the monitor, user and system.",
                  st.cpu_ms);
    add_one(b, "process_resident_memory_bytes", METRICS_GAUGE, "Resident memory of the monitor.", st.rss_kib * 1024);
    add_one_milli(b, "process_start_time_seconds", METRICS_GAUGE, "When the monitor was started, since 1970.",
                  started_ms);
    add_one(b, "process_open_fds", METRICS_GAUGE, "Open descriptors of the monitor.", procfs_count_fds(getpid()));
    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur != RLIM_INFINITY)
        add_one(b, "process_max_fds", METRICS_GAUGE, "How many descriptors the monitor may open.",
                (int64_t)limit.rlim_cur);
}

static void add_longest(struct buf *b, const char *name, const char *help, uint64_t worst_ns)
{
    add_one_milli(b, name, METRICS_GAUGE, help, (int64_t)((worst_ns + 999999) / 1000000));
}

static void add_lag(struct buf *b, const struct metrics_lag *lag)
{
    add_longest(b, "fota_monitor_loop_lag_seconds",
                "The longest that the loop was busy in one go during the last minute or two.",
                MAX(lag->worst_ns[0], lag->worst_ns[1]));
    /* The row under way is less than a millisecond: its longest turn stands for its processor time. */
    add_longest(b, "fota_monitor_loop_lag_cpu_seconds",
                "The most processor time that the loop used in one go during the last minute or two.",
                MAX(lag->row_worst_ns, MAX(lag->worst_cpu_ns[0], lag->worst_cpu_ns[1])));
    add_one_milli(b, "fota_monitor_loop_busy_seconds_total", METRICS_COUNTER, "How long the loop was busy in all.",
                  (int64_t)(lag->busy_ns / 1000000));
}

static void add_scripts(struct buf *b, const struct scripts *s)
{
    add_one(b, "fota_monitor_script_errors_total", METRICS_COUNTER, "Errors raised by scripts.", (int64_t)s->errors);
    add_one_milli(b, "fota_monitor_script_seconds_total", METRICS_COUNTER, "How long scripts have run.",
                  vm_spent_us(s->vm) / 1000);
    add_one(b, "fota_monitor_script_memory_bytes", METRICS_GAUGE, "Memory in use by scripts.",
            (int64_t)vm_memory(s->vm));
    add_one(b, "fota_monitor_script_tasks", METRICS_GAUGE, "Tasks of scripts under way.", (int64_t)s->ntasks);
}

/* ---- one scrape */

struct scrape {
    struct facts_wait wait;
    struct request *request;
};

static void on_facts(struct facts_wait *w, const struct fact *facts)
{
    struct request *r = CONTAINER_OF(w, struct scrape, wait)->request;
    struct admin *a = r->admin;
    free(r->data);
    r->cancel = NULL;
    if (!facts) {
        request_fail(r, 500, EXIT_COMMAND, "no_memory", "out of memory");
        return;
    }
    add_monitor(&r->body, a);
    if (a->lag)
        add_lag(&r->body, a->lag);
    if (a->scripts)
        add_scripts(&r->body, a->scripts);
    if (a->refusals)
        add_refusals(&r->body, a->refusals);
    add_logs(&r->body, consoles_counts(a->mon->consoles));
    add_process(&r->body, a->mon);
    for (struct metrics_source *s = a->sources; s; s = s->next)
        s->add(s, &r->body);
    add_services(&r->body, a->mon, facts);
    request_done(r, 200, EXIT_OK);
}

static void on_cancel(struct request *r)
{
    facts_forget(r->admin, &((struct scrape *)r->data)->wait);
    free(r->data);
}

void metrics_run(struct request *r)
{
    if (r->format == FORMAT_JSON) {
        request_fail(r, 400, EXIT_USAGE, "bad_argument", "format: metrics have one of their own; status has JSON");
        return;
    }
    struct scrape *scrape = calloc(1, sizeof *scrape);
    if (!scrape) {
        request_fail(r, 500, EXIT_COMMAND, "no_memory", "out of memory");
        return;
    }
    *scrape = (struct scrape){.wait.ready = on_facts, .request = r};
    r->data = scrape;
    r->cancel = on_cancel;
    facts_ask(r->admin, &scrape->wait);
}

void metrics_add_source(struct admin *admin, struct metrics_source *s)
{
    s->next = admin->sources;
    admin->sources = s;
}

/* ---- the loop */

static uint64_t cpu_ns(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) ? 0 : (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Processor time costs a system call to read: it is read for a row of turns that took a millisecond together. It was no
 * more than all of the row, and no more than the longest turn of the row. */
static uint64_t longest_cpu(struct metrics_lag *lag, uint64_t busy)
{
    lag->row_ns += busy;
    lag->row_worst_ns = MAX(lag->row_worst_ns, busy);
    if (lag->row_ns < ROW_NS)
        return 0;
    uint64_t cpu = cpu_ns(), longest = MIN(cpu - lag->cpu_ns, lag->row_worst_ns);
    lag->cpu_ns = cpu;
    lag->row_ns = lag->row_worst_ns = 0;
    return longest;
}

/* Before the loop waits: since the last time it has waited, and worked the rest. The first turn begins here. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct metrics_lag *lag = CONTAINER_OF(prepare, struct metrics_lag, prepare);
    uint64_t now = uv_hrtime(), idle = uv_metrics_idle_time(prepare->loop);
    uint64_t gone = now - lag->turn_ns, waited = idle - lag->idle_ns, busy = gone > waited ? gone - waited : 0;
    bool begun = lag->turn_ns != 0;
    lag->turn_ns = now;
    lag->idle_ns = idle;
    if (!begun) {
        lag->cpu_ns = cpu_ns();
        return;
    }
    lag->busy_ns += busy;
    if (now - lag->window_ns >= WINDOW_NS) {
        lag->window_ns = now;
        lag->worst_ns[1] = lag->worst_ns[0];
        lag->worst_cpu_ns[1] = lag->worst_cpu_ns[0];
        lag->worst_ns[0] = lag->worst_cpu_ns[0] = 0;
    }
    lag->worst_ns[0] = MAX(lag->worst_ns[0], busy);
    lag->worst_cpu_ns[0] = MAX(lag->worst_cpu_ns[0], longest_cpu(lag, busy));
}

void metrics_lag_start(struct metrics_lag *lag, uv_loop_t *loop)
{
    *lag = (struct metrics_lag){.window_ns = uv_hrtime()};
    uv_loop_configure(loop, UV_METRICS_IDLE_TIME);
    uv_prepare_init(loop, &lag->prepare);
    uv_prepare_start(&lag->prepare, on_prepare);
}
