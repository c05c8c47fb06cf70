/* Load on one HTTP server, on loopback only: load [-c CONNECTIONS] [-s SECONDS] [-m COUNT] [-e FILE] [-a CPU]
 * [-x FILE] PORT PATH
 * Keeps CONNECTIONS (2) keep-alive connections busy, one request in flight on each, until SECONDS (1) have gone by or
 * COUNT (1000000) answers came. Each answer must have status 200 and, with -e, exactly FILE's bytes as its body. Prints
 * one JSON object: requests, seconds, p50_us, p99_us, max_us, reconnects, errors. Ends with 1 when an answer was wrong.
 * -p: asks once and prints the body. -a: runs on that CPU only. -x: asks by POST with FILE's bytes, which are XML. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 8 << 20, MAX_CONNECTIONS = 64, STALL_MS = 20000 };

struct conn {
    int fd;
    char *buf; /* BUFFER bytes, of which `have` hold the answer so far */
    size_t have;
    size_t head, body; /* sizes of the answer's parts; head is 0 until its end was seen */
    bool until_close;  /* no length was given: the body ends with the connection */
    int64_t sent_ns;
};

struct load {
    uint16_t port;
    char request[4096];
    size_t request_len;
    int epoll;
    int64_t stop_ns;
    size_t max_count, count, reconnects, errors;
    uint32_t *took_ns; /* one entry an answer */
    char *expected;    /* NULL: any body */
    size_t expected_len;
    const char *posted; /* file of the request's body; NULL: GET */
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void conn_ask(struct load *load, struct conn *conn)
{
    conn->have = conn->head = conn->body = 0;
    conn->until_close = false;
    conn->sent_ns = now_ns();
    if (send(conn->fd, load->request, load->request_len, MSG_NOSIGNAL) != (ssize_t)load->request_len)
        die("send");
}

static void conn_open(struct load *load, struct conn *conn)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(load->port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    int one = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0 || connect(conn->fd, (struct sockaddr *)&address, sizeof address))
        die("connect");
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, conn->fd, &event))
        die("epoll_ctl");
}

/* Looks for the end of the head and the body's length. False: the answer is no HTTP this program understands. */
static bool conn_read_head(struct conn *conn)
{
    char *end = memmem(conn->buf, conn->have, "\r\n\r\n", 4);

    if (!end)
        return conn->have < 65536;
    conn->head = (size_t)(end - conn->buf) + 4;
    if (memcmp(conn->buf, "HTTP/1.", 7) != 0)
        return false;
    conn->until_close = true;
    for (char *line = memchr(conn->buf, '\n', conn->head); line && line < end;
         line = memchr(line + 1, '\n', (size_t)(end + 4 - line - 1))) {
        if (strncasecmp(line + 1, "Content-Length:", 15) == 0) {
            conn->body = strtoul(line + 16, NULL, 10);
            conn->until_close = false;
        } else if (strncasecmp(line + 1, "Transfer-Encoding:", 18) == 0) {
            return false;
        }
    }
    return conn->head + conn->body <= BUFFER;
}

static void conn_done(struct load *load, struct conn *conn)
{
    int64_t took = now_ns() - conn->sent_ns;
    size_t body = conn->have - conn->head;

    load->took_ns[load->count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    if (memcmp(conn->buf + 8, " 200 ", 5) != 0 ||
        (load->expected && (body != load->expected_len || memcmp(conn->buf + conn->head, load->expected, body) != 0)))
        load->errors++;
}

/* Reads what is there. True: the answer is complete. */
static bool conn_read(struct load *load, struct conn *conn)
{
    ssize_t got = recv(conn->fd, conn->buf + conn->have, BUFFER - conn->have, 0);

    if (got < 0)
        die("recv");
    if (got == 0) {
        bool complete = conn->head && conn->until_close;
        if (!complete && conn->have) {
            fprintf(stderr, "load: the server hung up in the middle of an answer\n");
            exit(1);
        }
        close(conn->fd);
        load->reconnects++;
        conn_open(load, conn);
        if (!complete) /* an idle connection was closed: ask again, the clock starts anew */
            conn_ask(load, conn);
        return complete;
    }
    conn->have += (size_t)got;
    if (!conn->head && !conn_read_head(conn)) {
        fprintf(stderr, "load: not an answer that this program understands: %.100s\n", conn->buf);
        exit(1);
    }
    return conn->head && !conn->until_close && conn->have >= conn->head + conn->body;
}

/* One answer after the other on each connection until the time or the count is over. */
static void run(struct load *load, struct conn *conns, int nconns)
{
    struct epoll_event events[MAX_CONNECTIONS];
    int busy = nconns;

    for (int i = 0; i < nconns; i++) {
        conn_open(load, &conns[i]);
        conn_ask(load, &conns[i]);
    }
    while (busy > 0) {
        int ready = epoll_wait(load->epoll, events, MAX_CONNECTIONS, STALL_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            fprintf(stderr, "load: no answer for %d s\n", STALL_MS / 1000);
            exit(1);
        }
        for (int i = 0; i < ready; i++) {
            struct conn *conn = events[i].data.ptr;
            if (!conn_read(load, conn))
                continue;
            conn_done(load, conn);
            if (load->count + (size_t)busy <= load->max_count && now_ns() < load->stop_ns) {
                conn_ask(load, conn);
            } else {
                epoll_ctl(load->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
                busy--;
            }
        }
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(struct load *load, double seconds)
{
    size_t n = load->count, middle = n / 2, p99 = (n - 1) * 99 / 100;

    qsort(load->took_ns, n, sizeof *load->took_ns, compare);
    printf("{\"requests\": %zu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
           "\"reconnects\": %zu, \"errors\": %zu}\n",
           n, seconds, load->took_ns[middle] / 1e3, load->took_ns[p99] / 1e3, load->took_ns[n - 1] / 1e3,
           load->reconnects, load->errors);
}

static void read_expected(struct load *load, const char *path)
{
    FILE *file = fopen(path, "rb");

    load->expected = malloc(BUFFER);
    if (!file || !load->expected)
        die(path);
    load->expected_len = fread(load->expected, 1, BUFFER, file);
    fclose(file);
}

/* False: the request is too long. */
static bool write_request(struct load *load, const char *path)
{
    char body[2048];
    size_t body_len = 0;

    if (load->posted) {
        FILE *file = fopen(load->posted, "rb");
        if (!file)
            die(load->posted);
        body_len = fread(body, 1, sizeof body, file);
        fclose(file);
    }
    int len = snprintf(load->request, sizeof load->request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n",
                       load->posted ? "POST" : "GET", path, (unsigned)load->port);
    if (len > 0 && load->posted)
        len += snprintf(load->request + len, sizeof load->request - (size_t)len,
                        "Content-Type: text/xml\r\nContent-Length: %zu\r\n", body_len);
    if (len < 0 || body_len == sizeof body || (size_t)len + 2 + body_len > sizeof load->request)
        return false;
    memcpy(load->request + len, "\r\n", 2);
    memcpy(load->request + len + 2, body, body_len);
    load->request_len = (size_t)len + 2 + body_len;
    return true;
}

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        die("sched_setaffinity");
}

int main(int argc, char **argv)
{
    struct load load = {.max_count = 1000000};
    static struct conn conns[MAX_CONNECTIONS];
    int nconns = 2, opt;
    double seconds = 1;
    bool print = false;

    while ((opt = getopt(argc, argv, "c:s:m:e:a:px:")) != -1) {
        if (opt == 'c')
            nconns = atoi(optarg);
        else if (opt == 's')
            seconds = atof(optarg);
        else if (opt == 'm')
            load.max_count = strtoul(optarg, NULL, 10);
        else if (opt == 'e')
            read_expected(&load, optarg);
        else if (opt == 'a')
            pin(atoi(optarg));
        else if (opt == 'p')
            print = true;
        else if (opt == 'x')
            load.posted = optarg;
        else
            return 2;
    }
    if (print)
        nconns = 1, load.max_count = 1;
    if (argc - optind != 2 || nconns < 1 || nconns > MAX_CONNECTIONS || seconds <= 0 || seconds > 120 ||
        load.max_count < (size_t)nconns || load.max_count > 100000000)
        return 2;
    load.port = (uint16_t)strtoul(argv[optind], NULL, 10);
    if (!write_request(&load, argv[optind + 1]))
        return 2;
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.took_ns = malloc(load.max_count * sizeof *load.took_ns);
    for (int i = 0; i < nconns; i++) {
        conns[i].buf = malloc(BUFFER);
        if (!conns[i].buf)
            die("malloc");
    }
    if (load.epoll < 0 || !load.took_ns)
        die("set-up");
    int64_t start_ns = now_ns();
    load.stop_ns = start_ns + (int64_t)(seconds * 1e9);
    run(&load, conns, nconns);
    if (print)
        fwrite(conns[0].buf + conns[0].head, 1, conns[0].have - conns[0].head, stdout);
    else
        report(&load, (double)(now_ns() - start_ns) / 1e9);
    return load.errors != 0;
}
