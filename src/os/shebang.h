/* Is a process running a script, or doing something else with it? */
#ifndef FM_SHEBANG_H
#define FM_SHEBANG_H

#include "base.h"

/* Does a process whose executable is `exe` (a path; NULL: unknown) interpret the script?
 * True when the script's first line ("#!/usr/bin/env python3 -u") names an interpreter of
 * the same kind: the same file name but for a version ("python3.11"), or both some POSIX
 * shell. False for an editor that has it open, and for what is no script. */
bool shebang_fits(const char *script, const char *exe);

#endif
