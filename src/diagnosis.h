/* SPDX-License-Identifier: MIT */
/*
 * diagnosis.h - the condition of a device and the verdict on it, printed for
 * people or for programs.
 */
#ifndef BDUS_DIAGNOSIS_H
#define BDUS_DIAGNOSIS_H

#include <stdio.h>

#include "condition.h"
#include "verdict.h"

/**
 * struct diagnosis - what was found out about a device
 * @condition: how it is
 * @verdict: what is the matter with it
 * @reason: the same in words
 * @command: what to try next, or ""
 */
struct diagnosis {
	struct condition condition;
	enum verdict verdict;
	char *reason;
	char *command;
};

/**
 * diagnosis_make - look at a device and judge
 * @id: of the device
 * @diagnosis: to be filled in; to be released with diagnosis_free()
 *
 * Return: 0 or -errno (ENOENT: no such device, ENOMEM).
 */
int diagnosis_make(uint64_t id, struct diagnosis *diagnosis);

/** diagnosis_free - release what diagnosis_make() allocated. */
void diagnosis_free(struct diagnosis *diagnosis);

/** diagnosis_text - print it for people. */
void diagnosis_text(FILE *out, const struct diagnosis *diagnosis);

/** diagnosis_json - print it for programs, as bdus-why(8) says. */
void diagnosis_json(FILE *out, const struct diagnosis *diagnosis);

#endif /* BDUS_DIAGNOSIS_H */
