/* SPDX-License-Identifier: MIT */
/*
 * encrypt/passphrase - where a passphrase comes from.
 *
 * A source is read no further than is taken from it, so that two passphrases
 * can be had from one pipe, one after the other.
 */
#include "passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "msg.h"
#include "secret.h"
#include "terminal.h"

#define PASSPHRASE_ROOM 4096

/* Something that a passphrase is read from. */
struct input {
	int fd;
	const char *name;
	bool is_line;
	uint64_t offset;
	uint64_t size;
};

void passphrase_free(struct passphrase *passphrase)
{
	secret_free(passphrase->data);
	*passphrase = (struct passphrase){ .data = NULL };
}

static int passphrase_no_memory(void)
{
	msg_error("passphrase: %s", strerror(ENOMEM));
	return EXIT_FAILED;
}

static ssize_t input_read(const struct input *input, void *buf, size_t len)
{
	ssize_t n;

	do {
		n = read(input->fd, buf, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* What cannot seek is read and thrown away. */
static int input_skip(const struct input *input)
{
	uint64_t left = input->offset;
	unsigned char *buf;
	ssize_t n = 1;

	if (left == 0 || lseek(input->fd, (off_t)left, SEEK_CUR) >= 0)
		return 0;
	buf = secret_alloc(PASSPHRASE_ROOM);
	if (buf == NULL)
		return -ENOMEM;
	for (; left > 0 && n > 0; left -= n > 0 ? (uint64_t)n : 0)
		n = input_read(input, buf,
			       left < PASSPHRASE_ROOM ? (size_t)left :
							PASSPHRASE_ROOM);
	secret_free(buf);
	return n < 0 ? (int)n : 0;
}

/* Room for more: twice of what there is. */
static int passphrase_grow(struct passphrase *passphrase, size_t *room)
{
	size_t more = *room == 0 ? PASSPHRASE_ROOM : *room * 2;
	unsigned char *data = secret_alloc(more);

	if (data == NULL)
		return -ENOMEM;
	if (passphrase->len > 0)
		memcpy(data, passphrase->data, passphrase->len);
	secret_free(passphrase->data);
	passphrase->data = data;
	*room = more;
	return 0;
}

/* Takes @max bytes, up to the end of the file or, where asked for, the line. */
static int input_take(const struct input *input, uint64_t max,
		      struct passphrase *passphrase)
{
	size_t room = 0;

	while (passphrase->len < max) {
		unsigned char *end;
		size_t want;
		ssize_t n = 0;

		if (passphrase->len == room)
			n = passphrase_grow(passphrase, &room);
		if (n != 0)
			return (int)n;
		end = passphrase->data + passphrase->len;
		want = room - passphrase->len;
		want = want < max - passphrase->len ? want :
						      max - passphrase->len;
		n = input_read(input, end, input->is_line ? 1 : want);
		if (n <= 0)
			return (int)n;
		if (input->is_line && *end == '\n')
			return 0;
		passphrase->len += (size_t)n;
	}
	return 0;
}

static int input_check(const struct input *input, size_t len)
{
	if (len > PASSPHRASE_FILE_MAX) {
		msg_error("%s: is larger than 8M", input->name);
		msg_hint("--keyfile-size tells how much of it is the "
			 "passphrase");
		return EXIT_FAILED;
	}
	if (input->size > 0 && len < input->size) {
		msg_error("%s: has only %zu of the %" PRIu64
			  " bytes to be taken",
			  input->name, len, input->size);
		return EXIT_FAILED;
	}
	if (len > 0)
		return EXIT_DONE;
	msg_error("%s: the passphrase is empty", input->name);
	return EXIT_FAILED;
}

static int passphrase_from(const struct input *input,
			   struct passphrase *passphrase)
{
	uint64_t max = input->size > 0 ? input->size : PASSPHRASE_FILE_MAX + 1;
	int error = input_skip(input);
	int status;

	if (error == 0)
		error = input_take(input, max, passphrase);
	if (error != 0) {
		msg_error("%s: cannot read the passphrase: %s", input->name,
			  strerror(-error));
		status = EXIT_FAILED;
	} else {
		status = input_check(input, passphrase->len);
	}
	if (status != EXIT_DONE)
		passphrase_free(passphrase);
	return status;
}

static int passphrase_from_file(const struct passphrase_source *source,
				struct passphrase *passphrase)
{
	struct input input = { .fd = STDIN_FILENO,
			       .name = "standard input",
			       .offset = source->offset,
			       .size = source->size };
	int status;

	if (strcmp(source->file, "-") == 0)
		return passphrase_from(&input, passphrase);
	input.name = source->file;
	input.fd = open(source->file, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	if (input.fd < 0) {
		msg_error("%s: cannot open: %s", source->file, strerror(errno));
		return EXIT_FAILED;
	}
	status = passphrase_from(&input, passphrase);
	close(input.fd);
	return status;
}

static int passphrase_from_fd(const struct passphrase_source *source,
			      struct passphrase *passphrase)
{
	char name[32];
	struct input input = { .fd = (int)source->fd,
			       .name = name,
			       .offset = source->offset,
			       .size = source->size };

	snprintf(name, sizeof(name), "descriptor %d", input.fd);
	return passphrase_from(&input, passphrase);
}

/* One line, so that the next one can be another passphrase. */
static int passphrase_from_stdin(struct passphrase *passphrase)
{
	const struct input input = { .fd = STDIN_FILENO,
				     .name = "standard input",
				     .is_line = true };

	return passphrase_from(&input, passphrase);
}

static int passphrase_typed(const char *prompt, struct passphrase *passphrase)
{
	int error;

	passphrase->data = secret_alloc(PASSPHRASE_MAX);
	if (passphrase->data == NULL)
		return passphrase_no_memory();
	error = terminal_ask(prompt, false, passphrase->data, PASSPHRASE_MAX,
			     &passphrase->len);
	if (error == -EOVERFLOW)
		msg_error("the passphrase is longer than %d bytes",
			  PASSPHRASE_MAX);
	else if (error == -ENODATA || (error == 0 && passphrase->len == 0))
		msg_error("the passphrase is empty");
	else if (error != 0)
		msg_error("terminal: cannot read: %s", strerror(-error));
	if (error == 0 && passphrase->len > 0)
		return EXIT_DONE;
	passphrase_free(passphrase);
	return EXIT_FAILED;
}

static int passphrase_typed_twice(const char *prompt,
				  struct passphrase *passphrase)
{
	struct passphrase again = { .data = NULL };
	int status = passphrase_typed(prompt, passphrase);

	if (status != EXIT_DONE)
		return status;
	status = passphrase_typed("The same again: ", &again);
	if (status == EXIT_DONE &&
	    (again.len != passphrase->len ||
	     CRYPTO_memcmp(again.data, passphrase->data, again.len) != 0)) {
		msg_error("the two passphrases differ");
		status = EXIT_FAILED;
	}
	passphrase_free(&again);
	if (status != EXIT_DONE)
		passphrase_free(passphrase);
	return status;
}

static int passphrase_check_usage(const struct passphrase_source *source)
{
	const char *option = source->size > 0 ? "size" : "offset";

	if (source->file != NULL && source->fd != 0) {
		msg_error("--key-file and --key-fd exclude each other");
		return EXIT_USAGE;
	}
	if (source->file == NULL && source->fd == 0 &&
	    (source->size > 0 || source->offset > 0)) {
		msg_error("--keyfile-%s: needs --key-file or --key-fd", option);
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

bool passphrase_is_typed(const struct passphrase_source *source)
{
	bool is_stdin = source->file == NULL || strcmp(source->file, "-") == 0;

	return is_stdin && source->fd == 0 && terminal_is_there();
}

void passphrase_close(const struct passphrase_source *source)
{
	if (source->fd != 0)
		close((int)source->fd);
}

int passphrase_get(const struct passphrase_source *source, const char *prompt,
		   bool is_new, struct passphrase *passphrase)
{
	int status = passphrase_check_usage(source);

	*passphrase = (struct passphrase){ .data = NULL };
	if (status != EXIT_DONE)
		return status;
	if (passphrase_is_typed(source))
		return is_new ? passphrase_typed_twice(prompt, passphrase) :
				passphrase_typed(prompt, passphrase);
	if (source->fd != 0)
		return passphrase_from_fd(source, passphrase);
	if (source->file != NULL)
		return passphrase_from_file(source, passphrase);
	return passphrase_from_stdin(passphrase);
}
