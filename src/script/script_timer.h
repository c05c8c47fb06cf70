/* fm.after, fm.every, fm.cron: what runs by the clock. Each time it is due its function
 * gets a task of its own; while that one still runs the next is left out. */
#ifndef FM_SCRIPT_TIMER_H
#define FM_SCRIPT_TIMER_H

#include "scripts.h"

/* Those made while the scripts were loaded begin to run. */
void script_timer_start_all(struct scripts *s);
void script_timer_free_all(struct scripts *s);

/* For the runner: those that are due get their tasks. */
void script_timer_run_due(struct scripts *s);

/* Functions of the raw table: after(seconds, fn, what), every(seconds, fn, what),
 * cron(text, fn, what) return the timer; cancel(timer) says whether it was still to come. */
int script_timer_after(struct lua_State *L);
int script_timer_every(struct lua_State *L);
int script_timer_cron(struct lua_State *L);
int script_timer_cancel(struct lua_State *L);

#endif
