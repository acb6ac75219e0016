/* SPDX-License-Identifier: MIT */
/*
 * module - the kernel module kbdus, loaded when it is needed.
 *
 * What forbids loading in principle is looked at first, so that the reason
 * told is the real one. After that the errors of the attempts decide.
 */
#include "module.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "kbdus.h"
#include "msg.h"
#include "privilege.h"

#define MODULE_NODE "/dev/" KBDUS_CONTROL_NAME
#define MODULE_SYSFS "/sys/class/misc/" KBDUS_CONTROL_NAME "/dev"
#define MODULE_MISC_MAJOR 10
#define MODULE_NODE_WAIT_MS 2000

extern char **environ;

static const char *module_release(struct utsname *uts)
{
	return uname(uts) == 0 ? uts->release : "?";
}

/* First number in a file, or -1. */
static long module_read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	long value;

	if (file == NULL)
		return -1;
	if (fscanf(file, "%ld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

/* Is there a reason why no module at all can be loaded? Prints it. */
static bool module_is_forbidden(void)
{
	if (access("/proc/self", F_OK) == 0 &&
	    access("/proc/modules", F_OK) != 0) {
		msg_error("the kernel module kbdus is not there, and this "
			  "kernel takes no modules (CONFIG_MODULES is off)");
		msg_hint("use a kernel with modules, or a virtual machine");
		return true;
	}
	if (module_read_number("/proc/sys/kernel/modules_disabled") == 1) {
		msg_error("the kernel module kbdus is not loaded, and loading "
			  "modules is disabled (kernel.modules_disabled = 1)");
		msg_hint("it can be loaded only early after the next boot");
		return true;
	}
	if (!privilege_has(CAP_SYS_MODULE)) {
		msg_error("the kernel module kbdus is not loaded, and there is "
			  "no privilege to load it");
		msg_hint("run this as root, or have root run 'modprobe kbdus'");
		return true;
	}
	return false;
}

/* What a program says first, as one line; it may die of what does not fit. */
static void module_read_output(int fd, char *text, size_t size)
{
	size_t length = 0;

	while (length < size - 1) {
		ssize_t n = read(fd, text + length, size - 1 - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		length += (size_t)n;
	}
	text[length] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

/* Run modprobe with its stderr going to @output. Return: its pid or -errno. */
static pid_t module_spawn_modprobe(int output)
{
	static const char *const paths[] = { "modprobe", "/sbin/modprobe",
					     "/usr/sbin/modprobe" };
	char *const argv[] = { (char[]){ "modprobe" }, (char[]){ "kbdus" },
			       NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;
	int error = ENOENT;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawn_file_actions_adddup2(&actions, output, 1) == 0 &&
	    posix_spawn_file_actions_adddup2(&actions, output, 2) == 0)
		for (size_t i = 0; i < 3 && error != 0; i++)
			error = posix_spawnp(&pid, paths[i], &actions, NULL,
					     argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return error != 0 ? -error : pid;
}

/* Return: 0, 1 (it failed, and @output says why) or -errno (it did not run). */
static int module_modprobe(char *output, size_t size)
{
	int fds[2], status = 0;
	pid_t pid;

	output[0] = '\0';
	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	pid = module_spawn_modprobe(fds[1]);
	close(fds[1]);
	if (pid > 0)
		module_read_output(fds[0], output, size);
	close(fds[0]);
	if (pid < 0)
		return pid;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? 0 : 1;
}

/* Which error modprobe met; kmod's and busybox's texts both end in it. */
static int module_error_in(const char *output)
{
	static const int errors[] = { EKEYREJECTED, ENOKEY, EPERM, ENOEXEC,
				      EBADMSG };

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strstr(output, strerror(errors[i])) != NULL)
			return -errors[i];
	if (*output == '\0' || strstr(output, "not found") != NULL ||
	    strstr(output, strerror(ENOENT)) != NULL)
		return -ENOENT;
	return -EIO;
}

static int module_insert_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)
		error = -errno;
	close(fd);
	return error;
}

/* Return: 0, -ENOENT (no file there) or the kernel's error. */
static int module_insert_beside(void)
{
	struct utsname uts;
	char dir[3072], path[4096];
	ssize_t length = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	int error;

	if (length <= 0)
		return -ENOENT;
	dir[length] = '\0';
	*strrchr(dir, '/') = '\0';
	snprintf(path, sizeof(path), "%s/kbdus.ko", dir);
	error = module_insert_file(path);
	if (error != -ENOENT && error != -ENOEXEC)
		return error;
	snprintf(path, sizeof(path), "%s/kmod/%s/kbdus.ko", dir,
		 module_release(&uts));
	/* that the first is for another kernel says more than no second one */
	if (error == -ENOEXEC && access(path, F_OK) != 0)
		return error;
	return module_insert_file(path);
}

static void module_say_refused(int error)
{
	if (error == -EPERM)
		msg_error("the kernel refuses to load the module kbdus: it is "
			  "locked down or wants signed modules");
	else
		msg_error("the kernel refuses the signature of the module "
			  "kbdus: %s",
			  strerror(-error));
	msg_hint("sign kbdus.ko with a key that the kernel trusts (DKMS does "
		 "with the machine owner key), or turn secure boot off");
}

static int module_failed(int error, const char *output)
{
	struct utsname uts;
	const char *release = module_release(&uts);

	switch (error) {
	case -EKEYREJECTED:
	case -ENOKEY:
	case -EBADMSG:
	case -EPERM:
		module_say_refused(error);
		return EXIT_NO_MODULE;
	case -ENOEXEC:
		msg_error("the module kbdus found is for another kernel than "
			  "the running one, %s",
			  release);
		break;
	case -ENOENT:
		msg_error("there is no kernel module kbdus for the running "
			  "kernel, %s",
			  release);
		break;
	default:
		msg_error("cannot load the kernel module kbdus: %s",
			  *output != '\0' ? output : strerror(-error));
		break;
	}
	msg_hint("build it with 'make -C kmod', or install it by DKMS, for "
		 "%s (its headers are needed)",
		 release);
	return EXIT_NO_MODULE;
}

static int module_load(void)
{
	char output[512];
	int probed, error;

	if (module_is_forbidden())
		return EXIT_NO_MODULE;
	probed = module_modprobe(output, sizeof(output));
	if (probed == 0)
		return EXIT_DONE;
	error = module_insert_beside();
	if (error == 0)
		return EXIT_DONE;
	if (error == -ENOENT && probed > 0)
		error = module_error_in(output);
	return module_failed(error, output);
}

/* Make the node where neither devtmpfs nor udev did. */
static void module_make_node(void)
{
	FILE *file = fopen(MODULE_SYSFS, "re");
	unsigned int major_nr, minor_nr;

	if (file == NULL)
		return;
	if (fscanf(file, "%u:%u", &major_nr, &minor_nr) == 2 &&
	    major_nr == MODULE_MISC_MAJOR) {
		/* a node of an earlier load may have another number */
		unlink(MODULE_NODE);
		mknod(MODULE_NODE, S_IFCHR | 0600, makedev(major_nr, minor_nr));
	}
	fclose(file);
}

static bool module_has_node(void)
{
	int fd = open(MODULE_NODE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno != ENOENT && errno != ENODEV && errno != ENXIO;
	close(fd);
	return true;
}

/* devtmpfs has it at once, udev and mdev after a while. */
static bool module_wait_for_node(void)
{
	const struct timespec pause = { .tv_nsec = 10000000L };

	for (int ms = 0; ms < MODULE_NODE_WAIT_MS; ms += 10) {
		if (module_has_node())
			return true;
		nanosleep(&pause, NULL);
	}
	module_make_node();
	return module_has_node();
}

static int module_bring_up(void)
{
	bool is_loaded = access(MODULE_SYSFS, F_OK) == 0;
	int code = is_loaded ? EXIT_DONE : module_load();

	if (code != EXIT_DONE || module_wait_for_node())
		return code;
	msg_error("the kernel module kbdus is loaded, but there is no %s, and "
		  "it cannot be made",
		  MODULE_NODE);
	return EXIT_NO_MODULE;
}

int module_open(int *fd)
{
	int code = module_has_node() ? EXIT_DONE : module_bring_up();

	*fd = -1;
	return code == EXIT_DONE ? control_open(fd) : code;
}
