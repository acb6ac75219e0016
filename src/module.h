/* SPDX-License-Identifier: MIT */
/*
 * module.h - the kernel module kbdus, loaded when it is needed.
 */
#ifndef BDUS_MODULE_H
#define BDUS_MODULE_H

/**
 * module_open - open the control device, loading the module if it is absent
 * @fd: where to store the descriptor (close-on-exec), -1 on failure
 *
 * Tries modprobe, then kbdus.ko and kmod/RELEASE/kbdus.ko beside the binary,
 * and makes the node where nobody else does (a container without devtmpfs).
 * Prints what is wrong and what to do about it.
 *
 * Return: 0 or an exit code (%EXIT_NO_MODULE for everything but the unlikely).
 */
int module_open(int *fd);

#endif /* BDUS_MODULE_H */
