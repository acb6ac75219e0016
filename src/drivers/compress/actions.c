/* SPDX-License-Identifier: MIT */
/*
 * actions - what the actions share.
 */
#include "actions.h"

#include <string.h>

#include "msg.h"

int action_operand(int argc)
{
	if (argc == 1)
		return EXIT_DONE;
	msg_error("%s operands", argc < 1 ? "too few" : "too many");
	msg_hint("it takes a FILE or a DEVICE");
	return EXIT_USAGE;
}

int action_failed(const char *path, const char *what, int error)
{
	msg_error("%s: %s: %s", path, what, strerror(-error));
	return EXIT_FAILED;
}
