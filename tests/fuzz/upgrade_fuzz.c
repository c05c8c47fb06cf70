/* What one program of the monitor leaves to the next in a memfd: it comes from another version. */
#include "fuzz.h"

#include "http.h"
#include "upgrade_state.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    int fd = memfd_create("fota_monitor", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size && !lseek(fd, 0, SEEK_SET));
    struct upgrade_state *s = upgrade_state_read(fd, &err);
    MUST(!s == !!err.text[0]);
    if (s)
        MUST(s->version >= 1 && s->version <= UPGRADE_STATE_VERSION && s->pid > 0 && s->lock_fd >= 0 &&
             (!s->ngiven || s->given) && !s->services.failed);
    upgrade_state_free(s);
    close(fd);
    return 0;
}
