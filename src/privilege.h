/* SPDX-License-Identifier: MIT */
/*
 * privilege.h - what this process may do.
 */
#ifndef BDUS_PRIVILEGE_H
#define BDUS_PRIVILEGE_H

#include <stdbool.h>

/**
 * privilege_has - does this process have a capability on the whole machine?
 * @capability: CAP_*
 *
 * Those of a user namespace of its own do not count.
 *
 * Return: whether it has.
 */
bool privilege_has(int capability);

#endif /* BDUS_PRIVILEGE_H */
