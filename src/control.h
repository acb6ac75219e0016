/* SPDX-License-Identifier: MIT */
/*
 * control.h - opening the control device of the kernel module.
 */
#ifndef BDUS_CONTROL_H
#define BDUS_CONTROL_H

/**
 * control_open - open /dev/bdus-control and check the module's ABI
 * @fd: where to store the descriptor (close-on-exec); -1 on failure
 *
 * Does not load the module. Prints what is wrong: module not loaded, no
 * privilege, module of another ABI.
 *
 * Return: 0, or the exit code (%EXIT_NO_MODULE, %EXIT_FAILED).
 */
int control_open(int *fd);

#endif /* BDUS_CONTROL_H */
