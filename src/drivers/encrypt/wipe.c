/* SPDX-License-Identifier: MIT */
/*
 * encrypt/wipe - make a disk look as if it were full.
 */
#include "wipe.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cipher.h"
#include "msg.h"
#include "progress.h"
#include "secret.h"

#define WIPE_CHUNK (1U << 20)
#define WIPE_KEY_SIZE 64
#define WIPE_SECTOR 512

/* Written back this often, so that the time left is that of the disk. */
#define WIPE_SYNC (64U << 20)

static struct cipher *wipe_cipher(void)
{
	unsigned char *key = secret_alloc(WIPE_KEY_SIZE);
	struct cipher *cipher = NULL;

	if (key == NULL)
		return NULL;
	if (secret_random(key, WIPE_KEY_SIZE) == 0)
		cipher = cipher_new("aes-xts-plain64", key, WIPE_KEY_SIZE,
				    WIPE_SECTOR);
	secret_free(key);
	return cipher;
}

static int wipe_chunk(struct disk *disk, struct cipher *cipher, void *buf,
		      uint64_t off)
{
	uint64_t left = disk->size - off;
	size_t len = left < WIPE_CHUNK ? (size_t)left : WIPE_CHUNK;
	size_t whole = (len + WIPE_SECTOR - 1) / WIPE_SECTOR * WIPE_SECTOR;
	int error;

	memset(buf, 0, whole);
	error = cipher_encrypt(cipher, buf, whole, off / WIPE_SECTOR);
	if (error == 0)
		error = disk->write(disk, buf, len, off);
	if (error == 0 && (off + len) % WIPE_SYNC == 0)
		error = disk->sync(disk);
	return error;
}

static int wipe_all(struct disk *disk, struct cipher *cipher, void *buf,
		    const sigset_t *signals, struct progress *progress)
{
	static const struct timespec at_once = { 0 };
	int error = 0;

	for (uint64_t off = 0; off < disk->size && error == 0;
	     off += WIPE_CHUNK) {
		error = wipe_chunk(disk, cipher, buf, off);
		progress_set(progress, off);
		if (error == 0 && sigtimedwait(signals, NULL, &at_once) > 0)
			error = -EINTR;
	}
	return error != 0 ? error : disk->sync(disk);
}

static int wipe_with(struct disk *disk, struct cipher *cipher, void *buf)
{
	struct progress progress;
	sigset_t signals, before;
	int error;

	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, &before);
	progress_start(&progress, "wiping", disk->size);
	error = wipe_all(disk, cipher, buf, &signals, &progress);
	progress_end(&progress);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error == 0)
		return EXIT_DONE;
	msg_error("%s: %s: %s", disk->name,
		  error == -EINTR ? "wiping ended early" : "cannot wipe",
		  strerror(-error));
	msg_hint("it is partly overwritten, and was not formatted");
	return EXIT_FAILED;
}

int wipe_disk(struct disk *disk)
{
	struct cipher *cipher = wipe_cipher();
	void *buf = malloc(WIPE_CHUNK);
	int status = EXIT_FAILED;

	if (cipher != NULL && buf != NULL)
		status = wipe_with(disk, cipher, buf);
	else
		msg_error("%s: cannot wipe: no memory or no random numbers",
			  disk->name);
	free(buf);
	cipher_free(cipher);
	return status;
}
