/* Helper processes: run a program beside the loop, feed it, gather what it writes, end it when it takes too long.
 *
 * Not for services: a helper is a child of ours, holds pipes to us and is not meant to outlive us. SIGPIPE has to be
 * ignored in this process (a helper may end without reading its input). */
#ifndef FM_EXEC_H
#define FM_EXEC_H

#include "base.h"
#include "err.h"

struct uv_loop_s;

/* All borrowed for the call of exec_start. */
struct exec_spec {
    char *const *argv; /* argv[0] without a slash is looked for in PATH */
    const char *dir;   /* NULL: ours */
    char *const *env;  /* NULL: ours without the monitor's own variables (ownenv.h) */
    const char *input; /* its stdin, then the end of file; without any it is /dev/null */
    size_t input_len;
    int64_t timeout_ms; /* 0: it may take as long as it likes */
    size_t max_output;  /* of stdout and stderr each; what goes beyond is read and thrown away */
};

/* How it went. The texts are the callee's only during the call of `done`; they end with a NUL that is not counted. */
struct exec_result {
    int code;   /* exit code; -1 when a signal ended it */
    int signal; /* 0: none */
    bool timed_out;
    bool truncated; /* it wrote more than max_output (or than memory had room for) */
    const char *out, *err;
    size_t out_len, err_len;
};

struct exec;

/* Starts a helper in a session of its own, with every signal at its default, no descriptor of ours and the descriptor
 * limit that this program was started with. `done` is called once, later, from the loop; the handle is gone with it.
 *
 * It is done when the process has ended and both outputs are closed. When something it left behind keeps an output
 * open, that is read a quarter of a second longer and then cut. After timeout_ms its process group gets SIGTERM, and
 * SIGKILL half a second later or as soon as the process itself has ended.
 *
 * NULL with a message when it can't be started; then `done` is never called. */
struct exec *exec_start(struct uv_loop_s *loop, const struct exec_spec *spec,
                        void (*done)(void *arg, const struct exec_result *r), void *arg, struct err *err);

/* Kills its process group at once (what it left behind when it has ended stays); `done` is not called any more, the
 * handle is gone. */
void exec_cancel(struct exec *e);

/* Kills all helpers at once; whoever waits for one is told of its end as ever. */
void exec_kill_all(void);

/* Is that process a helper that has not been collected yet? */
bool exec_has(int pid);

/* To be called before the loops are closed: cancels every helper and collects it, waiting up to a tenth of a second
 * for each. */
void exec_end_all(void);

#endif
