/* The program's own memory. */
#ifndef FM_MEMORY_H
#define FM_MEMORY_H

/* To be called first of all: all threads share one heap, and what is large is given back as soon as it is freed.
 *
 * That malloc keeps no freed blocks for each thread can be said in GLIBC_TUNABLES alone, before the program starts:
 * fota_monitor.sh, the unit for systemd and -upgrade do so. What is started here must not get it: where the
 * variable is just that, it is taken out of the environment; another value is the user's, and stays. */
void memory_begin(void);

/* The same for the program that this process is about to become: "NAME=VALUE", for its environment. NULL when the
 * variable is set: then it is the user's. */
const char *memory_variable(void);

/* Gives back free heap and the stack that is not in use: when a burst of work is over. To be called by the main thread.
 * Takes some tenths of a millisecond. */
void memory_trim(void);

/* The same when the start is over, and with it the pages of code and constants that were touched while libraries were
 * loaded and set up (they are read again from the file cache if they are ever used). */
void memory_trim_start(void);

#endif
