#include "filewatch.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct filewatch {
    uv_fs_event_t folder, file;
    int handles; /* still to be closed */
    char *path, *dir;
    const char *base;
    void (*changed)(void *arg);
    void *arg;
};

struct filewatch *filewatch_new(struct uv_loop_s *loop, const char *path, void (*changed)(void *arg), void *arg)
{
    struct filewatch *w = calloc(1, sizeof *w);
    char *copy = strdup(path), *dir = strdup(path);
    if (!w || !copy || !dir) {
        free(w);
        free(copy);
        free(dir);
        return NULL;
    }
    *w = (struct filewatch){.handles = 2, .path = copy, .dir = dir, .changed = changed, .arg = arg};
    char *slash = strrchr(dir, '/');
    w->base = slash ? copy + (slash - dir) + 1 : copy;
    if (slash)
        slash[slash == dir] = 0;
    else
        strcpy(dir, *dir ? "." : "");
    uv_fs_event_init(loop, &w->folder);
    uv_fs_event_init(loop, &w->file);
    w->folder.data = w->file.data = w;
    return w;
}

static void on_closed(uv_handle_t *handle)
{
    struct filewatch *w = handle->data;
    if (--w->handles > 0)
        return;
    free(w->path);
    free(w->dir);
    free(w);
}

void filewatch_free(struct filewatch *w)
{
    if (!w)
        return;
    uv_close((uv_handle_t *)&w->folder, on_closed);
    uv_close((uv_handle_t *)&w->file, on_closed);
}

static void on_event(uv_fs_event_t *handle, const char *filename, int events, int status)
{
    (void)events;
    (void)status;
    struct filewatch *w = handle->data;
    if (handle == &w->folder && filename && strcmp(filename, w->base) != 0)
        return; /* of a neighbour */
    filewatch_disarm(w);
    w->changed(w->arg);
}

bool filewatch_arm(struct filewatch *w)
{
    filewatch_disarm(w);
    uv_fs_event_start(&w->file, on_event, w->path, 0); /* it may not be there */
    return uv_fs_event_start(&w->folder, on_event, w->dir, 0) == 0;
}

void filewatch_disarm(struct filewatch *w)
{
    uv_fs_event_stop(&w->folder);
    uv_fs_event_stop(&w->file);
}
