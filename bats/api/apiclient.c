/* SPDX-License-Identifier: MIT */
/*
 * apiclient - what a client and what an administrator's program do.
 *
 *	apiclient ioctl DEVICE		the commands of apidrv
 *	apiclient refused DEVICE ERRNO	a command ends with that errno
 *	apiclient readonly DEVICE ERRNO	likewise, opened for reading only, as
 *					user 65534
 *	apiclient id PATH		prints the id
 *	apiclient flush|destroy ID	does it
 *	apiclient versions		prints libbdus' and kbdus'
 *	apiclient messages		checks that each thread has its own
 *
 * When a function of libbdus fails, errno and message go to stderr.
 */
#define _GNU_SOURCE 1
#include <bdus.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define API_NONE _IO('a', 1)
#define API_GET _IOR('a', 2, uint64_t)
#define API_PUT _IOW('a', 3, uint64_t)
#define API_ADD _IOWR('a', 4, uint64_t)
#define API_FAIL _IOWR('a', 5, uint64_t)
#define API_LARGE _IOC(_IOC_READ | _IOC_WRITE, 'a', 6, 16383)
#define API_UNKNOWN _IO('a', 99)

static void expect(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "apiclient: not so: %s (errno %d)\n", what, errno);
	exit(1);
}

static void expect_errno(int fd, unsigned long command, void *argument,
			 int error)
{
	errno = 0;
	expect(ioctl(fd, command, argument) == -1, "fails");
	if (errno != error)
		fprintf(stderr, "command %#lx: expected %d\n", command, error);
	expect(errno == error, "with the errno expected");
}

static int run_ioctls(const char *path)
{
	int fd = open(path, O_RDWR);
	uint64_t number = 40;
	static char large[16384];

	expect(fd >= 0, path);
	expect(ioctl(fd, API_NONE) == 0, "_IO");
	expect(ioctl(fd, API_PUT, &number) == 0, "_IOW");
	expect(number == 40, "_IOW: the argument does not come back");
	number = 99;
	expect(ioctl(fd, API_GET, &number) == 0, "_IOR");
	expect(number == 40, "_IOR: the argument comes back");
	number = 2;
	expect(ioctl(fd, API_ADD, &number) == 0, "_IOWR");
	expect(number == 42, "_IOWR: goes there and comes back");
	expect_errno(fd, API_FAIL, &number, EXDEV);
	expect(number == 42, "failure: the argument does not come back");
	large[16382] = 6;
	large[16383] = 7;
	expect(ioctl(fd, API_LARGE, large) == 0, "16383 bytes");
	expect(large[16382] == 7 && large[16383] == 7, "all of them, no more");
	expect_errno(fd, API_UNKNOWN, NULL, ENOTTY);
	/* not built with the macros: a size without a direction, or reverse */
	expect_errno(fd, _IOC(_IOC_NONE, 'a', 1, 8), &number, ENOTTY);
	expect_errno(fd, _IOC(_IOC_READ, 'a', 1, 0), &number, ENOTTY);
	expect_errno(fd, API_ADD, NULL, EFAULT);
	return 0;
}

static int run_refused(const char *path, int mode, const char *error)
{
	int fd = open(path, mode);
	uint64_t number = 0;

	expect(fd >= 0, path);
	if (mode == O_RDONLY)
		expect(setuid(65534) == 0, "setuid");
	expect_errno(fd, API_GET, &number, atoi(error));
	return 0;
}

static int done(bool is_done)
{
	if (!is_done)
		fprintf(stderr, "errno %d: %s\n", errno,
			bdus_get_error_message());
	return is_done ? 0 : 1;
}

static int run_id(const char *path)
{
	uint64_t id = 12345;
	bool is_done = bdus_get_dev_id_from_path(&id, path);

	if (is_done)
		printf("%" PRIu64 "\n", id);
	else
		expect(id == 12345, "the id is not touched");
	return done(is_done);
}

static int run_versions(void)
{
	const struct bdus_version *library = bdus_get_libbdus_version();
	struct bdus_version module = { 9, 9, 9 };

	if (!bdus_get_kbdus_version(&module))
		return done(false);
	printf("%" PRIu32 ".%" PRIu32 ".%" PRIu32 "\n", library->major,
	       library->minor, library->patch);
	printf("%" PRIu32 ".%" PRIu32 ".%" PRIu32 "\n", module.major,
	       module.minor, module.patch);
	return 0;
}

static void *see_message(void *arg)
{
	(void)arg;
	expect(*bdus_get_error_message() == '\0', "empty on a new thread");
	return NULL;
}

static int run_messages(void)
{
	char before[1024];
	pthread_t thread;
	uint64_t id;

	expect(*bdus_get_error_message() == '\0', "empty at first");
	expect(!bdus_get_dev_id_from_path(&id, "/dev/null"), "fails");
	snprintf(before, sizeof(before), "%s", bdus_get_error_message());
	expect(strstr(before, "/dev/null") != NULL, "names the object");
	expect(bdus_get_libbdus_version() != NULL, "succeeds");
	expect(strcmp(before, bdus_get_error_message()) == 0, "is left alone");
	expect(pthread_create(&thread, NULL, see_message, NULL) == 0, "thread");
	pthread_join(thread, NULL);
	expect(!bdus_get_dev_id_from_path(&id, "/dev/zero"), "fails");
	expect(strstr(bdus_get_error_message(), "/dev/null") == NULL, "anew");
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "ioctl") == 0)
		return run_ioctls(argv[2]);
	if (strcmp(what, "refused") == 0)
		return run_refused(argv[2], O_RDWR, argv[3]);
	if (strcmp(what, "readonly") == 0)
		return run_refused(argv[2], O_RDONLY, argv[3]);
	if (strcmp(what, "id") == 0)
		return run_id(argv[2]);
	if (strcmp(what, "flush") == 0)
		return done(bdus_flush_dev(strtoull(argv[2], NULL, 10)));
	if (strcmp(what, "destroy") == 0)
		return done(bdus_destroy_dev(strtoull(argv[2], NULL, 10)));
	if (strcmp(what, "versions") == 0)
		return run_versions();
	if (strcmp(what, "messages") == 0)
		return run_messages();
	return 2;
}
