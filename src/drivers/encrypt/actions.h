/* SPDX-License-Identifier: MIT */
/*
 * encrypt/actions.h - what else can be done to a volume: the actions that the
 * driver lists.
 */
#ifndef BDUS_ENCRYPT_ACTIONS_H
#define BDUS_ENCRYPT_ACTIONS_H

#include "applet.h"

/* format.c */
extern const struct applet action_format;
/* info.c */
extern const struct applet action_info;
/* keys.c */
extern const struct applet action_add_key;
extern const struct applet action_change_key;
extern const struct applet action_remove_key;
extern const struct applet action_test_key;
/* header.c */
extern const struct applet action_header_backup;
extern const struct applet action_check;
extern const struct applet action_erase;
/* restore.c */
extern const struct applet action_header_restore;

#endif /* BDUS_ENCRYPT_ACTIONS_H */
