/* SPDX-License-Identifier: MIT */
/*
 * trial.h - a command, run on each state that a power failure may leave.
 */
#ifndef BDUS_TRIAL_H
#define BDUS_TRIAL_H

#include "rebuild.h"

/**
 * struct trial - what is to be tried
 * @command: for the shell; "%" is the image, which else is put behind it
 * @accept: exit statuses that are fine, separated by commas
 * @keep: folder for the first state that fails, or NULL
 * @is_json: the result is for programs
 * @seed: of what is random
 * @outages: the states, by ascending cut
 * @n_outages: how many
 */
struct trial {
	const char *command;
	const char *accept;
	const char *keep;
	bool is_json;
	uint64_t seed;
	const struct outage *outages;
	size_t n_outages;
};

/**
 * trial_run - try all, and print what came out
 * @trial: what
 * @rebuild: opened
 *
 * Prints what is wrong. Ends early at SIGINT, SIGTERM and SIGHUP.
 *
 * Return: an exit code; EXIT_FAILED: at least one state failed.
 */
int trial_run(const struct trial *trial, struct rebuild *rebuild);

#endif /* BDUS_TRIAL_H */
