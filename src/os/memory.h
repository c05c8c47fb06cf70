/* The program's own memory. */
#ifndef FM_MEMORY_H
#define FM_MEMORY_H

/* Gives back what only the start needed: free heap, and the pages of code and constants
 * that were touched while libraries were loaded and set up (they are read again from the
 * file cache if they are ever used). To be called once, when the start is over. */
void memory_trim(void);

#endif
