/* SPDX-License-Identifier: MIT */
/*
 * verdict.h - why a device does not move, in words, and what to try next.
 */
#ifndef BDUS_VERDICT_H
#define BDUS_VERDICT_H

#include <stdio.h>

#include "condition.h"

/**
 * enum verdict - what is the matter with a device
 * @VERDICT_IDLE: nothing: no request waits
 * @VERDICT_MOVING: nothing: requests are completed
 * @VERDICT_SLOW: nothing was completed, but no request is old yet
 * @VERDICT_LOST: requests are completed, except for one that is old
 * @VERDICT_STARTING: its driver has not started it yet
 * @VERDICT_STOPPED: its driver got SIGSTOP
 * @VERDICT_TRACED: a debugger has stopped its driver
 * @VERDICT_BLOCKED: a thread of its driver is blocked in the kernel
 * @VERDICT_RUNNING: its driver runs, but completes nothing
 * @VERDICT_ASLEEP: its driver sleeps over its requests
 * @VERDICT_UNSEEN: it does not move, and its driver cannot be seen from here
 * @VERDICT_WAITING: it waits for the next driver
 * @VERDICT_LEAVING: likewise, and the last one is not quite gone
 * @VERDICT_ENDING: it is being destroyed
 * @VERDICT_DEAD: its driver is gone, and it goes
 * @VERDICT_COUNT: how many there are
 */
enum verdict {
	VERDICT_IDLE,
	VERDICT_MOVING,
	VERDICT_SLOW,
	VERDICT_LOST,
	VERDICT_STARTING,
	VERDICT_STOPPED,
	VERDICT_TRACED,
	VERDICT_BLOCKED,
	VERDICT_RUNNING,
	VERDICT_ASLEEP,
	VERDICT_UNSEEN,
	VERDICT_WAITING,
	VERDICT_LEAVING,
	VERDICT_ENDING,
	VERDICT_DEAD,
	VERDICT_COUNT
};

/** verdict_of - what is the matter with the device. */
enum verdict verdict_of(const struct condition *condition);

/** verdict_name - "idle", "stopped" ... */
const char *verdict_name(enum verdict verdict);

/**
 * verdict_explain - print the reason, one line without its end
 * @out: where to
 * @verdict: of verdict_of()
 * @condition: as there
 */
void verdict_explain(FILE *out, enum verdict verdict,
		     const struct condition *condition);

/**
 * verdict_command - print the command to try next, quoted for the shell
 * @out: where to; nothing is printed when there is nothing to do
 * @verdict: of verdict_of()
 * @condition: as there
 */
void verdict_command(FILE *out, enum verdict verdict,
		     const struct condition *condition);

#endif /* BDUS_VERDICT_H */
