/* SPDX-License-Identifier: MIT */
/*
 * tables - all drivers and applets. The build writes drivers.def and
 * applets.def, sorted lines of X(name), from the file names.
 */
#include <string.h>

#include "applet.h"
#include "driver.h"

#define X(id) extern const struct driver driver_##id;
#include "drivers.def"
#undef X

#define X(id) extern const struct applet applet_##id;
#include "applets.def"
#undef X

#define X(id) &driver_##id,
const struct driver *const drivers[] = {
#include "drivers.def"
	NULL
};
#undef X

#define X(id) &applet_##id,
const struct applet *const applets[] = {
#include "applets.def"
	NULL
};
#undef X

const struct driver *driver_find(const char *name)
{
	for (size_t i = 0; drivers[i] != NULL; i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	return NULL;
}

const struct applet *applet_find(const char *name)
{
	for (size_t i = 0; applets[i] != NULL; i++)
		if (strcmp(applets[i]->name, name) == 0)
			return applets[i];
	return NULL;
}
