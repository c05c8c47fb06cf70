#include "console_prune.h"

#include "console_files.h"
#include "console_path.h"
#include "day.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int console_prune(const struct console_name *n, int64_t today, int keep_days)
{
    struct console_files files;
    int removed = 0, r = console_files_find(&files, n, NULL);
    if (r)
        return r;
    int dir = console_path_folder(n->dir, O_PATH);
    r = dir < 0 ? dir : 0;
    for (size_t i = 0; !r && i < files.count; i++) {
        if (today - day_of(files.items[i].time_s * 1000) <= keep_days)
            continue;
        if (!unlinkat(dir, files.items[i].name, 0))
            removed++;
        else if (errno != ENOENT)
            r = -errno;
    }
    if (dir >= 0)
        close(dir);
    console_files_fini(&files);
    return r ? r : removed;
}
