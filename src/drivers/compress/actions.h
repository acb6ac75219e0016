/* SPDX-License-Identifier: MIT */
/*
 * compress/actions.h - what can be done to a volume beside serving it.
 */
#ifndef BDUS_COMPRESS_ACTIONS_H
#define BDUS_COMPRESS_ACTIONS_H

#include "applet.h"

extern const struct applet compress_action_format;
extern const struct applet compress_action_info;
extern const struct applet compress_action_check;
extern const struct applet compress_action_repair;
extern const struct applet compress_action_dump;
extern const struct applet compress_action_recompress;
extern const struct applet compress_action_resize;

/**
 * action_operand - is there one operand? Prints what is wrong.
 * @argc: how many there are
 *
 * Return: an exit code.
 */
int action_operand(int argc);

/**
 * action_failed - say what is wrong with a volume
 * @path: of it
 * @what: is wrong
 * @error: -errno
 *
 * Return: %EXIT_FAILED.
 */
int action_failed(const char *path, const char *what, int error);

#endif /* BDUS_COMPRESS_ACTIONS_H */
