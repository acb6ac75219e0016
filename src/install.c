/* SPDX-License-Identifier: MIT */
/*
 * install - links bdus-NAME to this program, for all commands.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "msg.h"

/*
 * What is linked, from where: a symbolic link beside the program holds only
 * its name, so that the directory can be moved as a whole.
 */
struct install {
	const char *dir;
	bool is_symbolic;
	char program[PATH_MAX];
	const char *target;
};

static int install_prepare(struct install *install)
{
	char dir[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", install->program,
			     sizeof(install->program) - 1);
	char *base;

	if (n < 0) {
		msg_error("/proc/self/exe: cannot read: %s", strerror(errno));
		return EXIT_FAILED;
	}
	install->program[n] = '\0';
	if (realpath(install->dir, dir) == NULL) {
		msg_error("%s: %s", install->dir, strerror(errno));
		return EXIT_FAILED;
	}
	install->target = install->program;
	base = strrchr(install->program, '/');
	if (base != NULL && strlen(dir) == (size_t)(base - install->program) &&
	    memcmp(dir, install->program, strlen(dir)) == 0)
		install->target = base + 1;
	return EXIT_DONE;
}

static bool install_is_symlink(const struct install *install, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target));

	return n == (ssize_t)strlen(install->target) &&
	       memcmp(target, install->target, (size_t)n) == 0;
}

/* Is the file at @path what would be put there? */
static bool install_is_done(const struct install *install, const char *path)
{
	struct stat file;
	struct stat program;

	if (install->is_symbolic)
		return install_is_symlink(install, path);
	return lstat(path, &file) == 0 &&
	       stat(install->program, &program) == 0 &&
	       file.st_dev == program.st_dev && file.st_ino == program.st_ino;
}

static int install_failed(const char *path, int error)
{
	if (error == EEXIST) {
		msg_error("%s: exists, and is not overwritten", path);
		return EXIT_BUSY;
	}
	msg_error("%s: cannot make the link: %s", path, strerror(error));
	if (error == EXDEV || error == EPERM)
		msg_hint("'bdus --install -s DIR' makes symbolic links");
	return EXIT_FAILED;
}

static int install_one(const struct install *install, const char *name)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/bdus-%s", install->dir, name);
	int error;

	if (n < 0 || (size_t)n >= sizeof(path))
		return install_failed(install->dir, ENAMETOOLONG);
	if (install->is_symbolic)
		error = symlink(install->target, path);
	else
		error = link(install->program, path);
	if (error == 0)
		return EXIT_DONE;
	error = errno;
	if (error == EEXIST && install_is_done(install, path))
		return EXIT_DONE;
	return install_failed(path, error);
}

int install_links(const char *dir, bool is_symbolic)
{
	struct install install = { .dir = dir, .is_symbolic = is_symbolic };
	int status = install_prepare(&install);
	struct command command;

	if (status != EXIT_DONE)
		return status;
	for (size_t i = 0; command_at(i, &command); i++) {
		int one = install_one(&install, command.name);

		if (status == EXIT_DONE)
			status = one;
	}
	return status;
}
