/* The least a libmicrohttpd server can do: bare_http PORT FILE CONTENT-TYPE
 * Answers every request on 127.0.0.1:PORT with FILE's bytes, read once: one response object, no copy, no look at the
 * request, and the library's own epoll loop, which is a little faster than an outer one. */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **state)
{
    (void)url, (void)method, (void)version, (void)upload, (void)upload_size;
    /* The first call is made when the head was read: an answer given there would close the connection. */
    if (!*state) {
        *state = cls;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, cls);
}

static struct MHD_Response *load_response(const char *path, const char *type)
{
    FILE *file = fopen(path, "rb");
    char *body = NULL;
    size_t size = 0, room = 0, got = 0;

    if (!file)
        return NULL;
    do {
        size += got;
        if (size == room) {
            room = room ? room * 2 : 65536;
            char *more = realloc(body, room);
            if (!more) {
                free(body);
                fclose(file);
                return NULL;
            }
            body = more;
        }
    } while ((got = fread(body + size, 1, room - size, file)) > 0);
    fclose(file);
    struct MHD_Response *response = MHD_create_response_from_buffer(size, body, MHD_RESPMEM_PERSISTENT);
    if (response)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    return response;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct MHD_Response *response = load_response(argv[2], argv[3]);
    if (!response) {
        fprintf(stderr, "bare_http: %s: %s\n", argv[2], strerror(errno));
        return 1;
    }
    struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, response,
                                                 MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_END);
    if (!daemon) {
        fprintf(stderr, "bare_http: can't listen on 127.0.0.1:%s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    for (;;)
        pause();
}
