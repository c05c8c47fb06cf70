/* A small web server on 127.0.0.1: one page that says who answers and for how long it has been up.
 *
 *     http_server [-p PORT] [-g GREETING_FILE]
 *
 * What a supervisor cares about: it stays in the foreground, logs to stdout, ends cleanly with code 0 on SIGTERM, reads
 * its greeting again on SIGHUP, and says why on stderr when it can't start. One request at a time, to stay short. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENT_TIMEOUT_S = 2, REQUEST_MAX = 4096 };

static volatile sig_atomic_t stop_asked;
static volatile sig_atomic_t reload_asked;

static char greeting[1024];
static struct timespec started;

static void on_signal(int number)
{
    if (number == SIGHUP)
        reload_asked = 1;
    else
        stop_asked = 1;
}

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One line with the time of day before it. */
static void say(const char *fmt, ...)
{
    char when[16];
    time_t now = time(NULL);
    struct tm tm;
    va_list args;

    strftime(when, sizeof(when), "%H:%M:%S", localtime_r(&now, &tm));
    printf("%s ", when);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

/* The first line of the file; without a file the greeting stays as it is. */
static void load_greeting(const char *path)
{
    FILE *file = fopen(path, "re");

    if (!file) {
        say("no greeting: %s: %s", path, strerror(errno));
        return;
    }
    if (!fgets(greeting, sizeof(greeting), file))
        greeting[0] = '\0';
    greeting[strcspn(greeting, "\r\n")] = '\0';
    fclose(file);
    say("greeting: %s", greeting);
}

static int listen_on(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    /* A restart must not wait for the last connections of the process before it. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Reads up to the end of the request's head. Returns false when the client hangs up, is too slow or says too much. */
static bool read_request(int client, char *request, size_t size)
{
    size_t used = 0;

    while (used < size - 1) {
        ssize_t n = read(client, request + used, size - 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        used += (size_t)n;
        request[used] = '\0';
        if (strstr(request, "\r\n\r\n"))
            return true;
    }
    return false;
}

static void send_all(int client, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = send(client, text, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        size -= (size_t)n;
    }
}

static void answer(int client, const char *request)
{
    char body[2048], page[2304];
    struct timespec now;
    bool is_get = strncmp(request, "GET ", 4) == 0;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (is_get)
        snprintf(body, sizeof(body), "%s\npid %d, up for %ld s\n", greeting, (int)getpid(),
                 (long)(now.tv_sec - started.tv_sec));
    else
        snprintf(body, sizeof(body), "Only GET is understood.\n");
    snprintf(page, sizeof(page),
             "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n%s",
             is_get ? "200 OK" : "405 Method Not Allowed", strlen(body), body);
    send_all(client, page, strlen(page));
    say("%d %.*s", is_get ? 200 : 405, (int)strcspn(request, "\r\n"), request);
}

static void serve(int client)
{
    struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
    char request[REQUEST_MAX];

    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (read_request(client, request, sizeof(request)))
        answer(client, request);
    close(client);
}

/* SIGHUP is ignored when a service is started as with nohup; a handler of one's own brings it back. */
static void catch_signals(sigset_t *while_waiting)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGHUP);
    /* Blocked but for the moment ppoll waits: none can slip in between the question and the sleep. */
    sigprocmask(SIG_BLOCK, &blocked, while_waiting);
    sigdelset(while_waiting, SIGTERM);
    sigdelset(while_waiting, SIGINT);
    sigdelset(while_waiting, SIGHUP);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

static bool read_options(int argc, char **argv, int *port, const char **greeting_path)
{
    int option;

    while ((option = getopt(argc, argv, "p:g:")) != -1) {
        if (option == 'p')
            *port = (int)strtol(optarg, NULL, 10);
        else if (option == 'g')
            *greeting_path = optarg;
        else
            return false;
    }
    return optind == argc && *port > 0 && *port <= 65535;
}

int main(int argc, char **argv)
{
    const char *greeting_path = "greeting.txt";
    int port = 18080;
    sigset_t while_waiting;

    if (!read_options(argc, argv, &port, &greeting_path)) {
        fprintf(stderr, "usage: http_server [-p PORT] [-g GREETING_FILE]\n");
        return 2;
    }
    /* The log is a file, and a file is written in big pieces unless one asks for lines. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    clock_gettime(CLOCK_MONOTONIC, &started);
    catch_signals(&while_waiting);

    int listener = listen_on(port);
    if (listener < 0) {
        fprintf(stderr, "can't listen on 127.0.0.1:%d: %s\n", port, strerror(errno));
        return 1;
    }
    say("listening on http://127.0.0.1:%d/ as pid %d", port, (int)getpid());
    load_greeting(greeting_path);

    while (!stop_asked) {
        struct pollfd waiting = {.fd = listener, .events = POLLIN};
        if (reload_asked) {
            reload_asked = 0;
            load_greeting(greeting_path);
        }
        if (ppoll(&waiting, 1, NULL, &while_waiting) <= 0)
            continue;
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0)
            serve(client);
    }
    close(listener);
    say("asked to stop: bye");
    return 0;
}
