/* SPDX-License-Identifier: MIT */
/*
 * runtime.h - running a driver: from the command line to the end of the device.
 */
#ifndef BDUS_RUNTIME_H
#define BDUS_RUNTIME_H

#include "driver.h"
#include "opt.h"

/**
 * runtime_main - make a device and serve it until it ends
 * @driver: the kind of device
 * @argc: number of words in @argv
 * @argv: options and operands, without the driver's name; reordered
 *
 * Prints the device's path on stdout once it is usable, and, unless told to
 * stay in the foreground, returns then, leaving a daemon behind. In the daemon
 * it returns when the device has ended. Prints what goes wrong.
 *
 * Return: an exit code (msg.h), in the daemon too.
 */
int runtime_main(const struct driver *driver, int argc, char **argv);

/**
 * runtime_rerun - replace the driver of a device
 * @id: of the device
 * @is_forced: even where its content is lost by it
 * @driver: the new one
 * @argc: as there
 * @argv: as there
 *
 * As runtime_main(), with a device that exists.
 *
 * Return: an exit code.
 */
int runtime_rerun(uint64_t id, bool is_forced, const struct driver *driver,
		  int argc, char **argv);

#endif /* BDUS_RUNTIME_H */
