/* The program's own memory. */
#ifndef FM_MEMORY_H
#define FM_MEMORY_H

/* To be called first of all: all threads share one heap, and what is large is given back as soon as it is freed. What
 * is loaded by then is the program's own for memory_trim_loaded. */
void memory_begin(void);

/* That malloc keeps no freed blocks for each thread has to be said in the environment before the program starts:
 * fota_monitor.sh, the unit for systemd and -upgrade do so (up to seven small blocks of each size would hold whole
 * pages, others each time; mallopt can't say it). What is started here does not get it (ownenv.h); another
 * value of the variable is the user's. */
#define MEMORY_VARIABLE "GLIBC_TUNABLES"
#define MEMORY_NO_THREAD_CACHE MEMORY_VARIABLE "=glibc.malloc.tcache_count=0"

/* Gives back free heap and the stack that is not in use: when a burst of work is over. To be called by the main thread.
 * Takes some tenths of a millisecond. */
void memory_trim(void);

/* The same when the start is over, and with it the pages of code and constants that were touched while libraries were
 * loaded and set up (they are read again from the file cache if they are ever used). */
void memory_trim_start(void);

/* The pages of code and constants alone, of what was loaded after memory_begin (dlopen): some time after that. */
void memory_trim_loaded(void);

#endif
