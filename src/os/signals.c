#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static sigset_t set_of(const int *list, size_t n)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < n; i++)
        sigaddset(&set, list[i]);
    return set;
}

void signals_hold(const int *list, size_t n)
{
    sigset_t set = set_of(list, n);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int signals_open(const int *list, size_t n)
{
    sigset_t set = set_of(list, n);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int signals_next(int fd)
{
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}
