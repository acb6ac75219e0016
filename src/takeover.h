/* SPDX-License-Identifier: MIT */
/*
 * takeover.h - becoming the driver of a device that exists already.
 */
#ifndef BDUS_TAKEOVER_H
#define BDUS_TAKEOVER_H

#include "dev.h"

/**
 * takeover_meet - find out what the device is, and be like it
 * @dev: is_rerun and id are set, nothing is open yet
 *
 * Presets the attributes that stay or persist: block sizes, read-only,
 * timeouts, on_hang, retries, recoverable, supervised. Prints what is wrong.
 *
 * Return: an exit code; on success dev->control is open and dev->old filled.
 */
int takeover_meet(struct dev *dev);

/**
 * takeover_check - can the opened driver do what the device promises?
 * @dev: its attributes are what the driver says
 *
 * Prints what is wrong, each thing with its own message.
 *
 * Return: an exit code.
 */
int takeover_check(const struct dev *dev);

/**
 * takeover_adopt - take on the device's limits, so that its requests fit
 * @dev: checked
 */
void takeover_adopt(struct dev *dev);

/**
 * takeover_is_vacant - has the device no driver any more?
 * @dev: settled
 *
 * Return: whether none would go on if we did not start.
 */
bool takeover_is_vacant(const struct dev *dev);

/** takeover_explain - print why KBDUS_ATTACH or KBDUS_START was refused. */
void takeover_explain(const struct dev *dev, int error);

#endif /* BDUS_TAKEOVER_H */
