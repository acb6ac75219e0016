/* SPDX-License-Identifier: MIT */
/*
 * stats - what a driver tells of itself, asked and shown.
 */
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "attribute.h"
#include "devid.h"
#include "msg.h"
#include "report.h"

/* --- asking -----------------------------------------------------------------
 */

static int stats_failed(const char *operand, uint64_t id, int error)
{
	char driver[ATTRIBUTE_SIZE] = "";

	attribute_text("/sys", id, "bdus/driver", driver, sizeof(driver));
	switch (error) {
	case ENOTTY:
		msg_error("%s: its driver, %s, has no statistics", operand,
			  driver);
		msg_hint("'bdus list -o read_bytes,write_bytes' shows what "
			 "the kernel counts");
		return EXIT_FAILED;
	case EACCES:
	case EPERM:
		msg_error("%s: %s", operand, strerror(error));
		msg_hint("run this as root");
		return EXIT_NO_MODULE;
	case ENOENT:
	case ENXIO:
	case ENODEV:
		msg_error("%s: is gone", operand);
		return EXIT_NO_DEVICE;
	default:
		msg_error("%s: does not tell: %s", operand, strerror(error));
		return EXIT_FAILED;
	}
}

int stats_ask(const char *operand, uint64_t id, struct stats *stats)
{
	char node[DEVID_NODE_SIZE], state[ATTRIBUTE_SIZE];
	int fd, error = 0;

	/* or the answer would wait for the next driver */
	if (attribute_text("/sys", id, "bdus/state", state, sizeof(state)) ==
		    0 &&
	    strcmp(state, "waiting") == 0) {
		msg_error("%s: has no driver at the moment", operand);
		msg_hint("'bdus why %s' tells more", operand);
		return EXIT_FAILED;
	}
	devid_node(id, node);
	fd = open(node, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return stats_failed(operand, id, errno);
	if (ioctl(fd, (int)STATS_GET, stats) != 0)
		error = errno;
	close(fd);
	return error == 0 ? EXIT_DONE : stats_failed(operand, id, error);
}

/* --- figures ----------------------------------------------------------------
 */

#define TEXT_SIZE 32

/* Digits and two more; nothing where there is nothing to be divided by. */
static void stats_ratio(uint64_t a, uint64_t b, unsigned int scale,
			char text[TEXT_SIZE])
{
	double ratio = b == 0 ? 0 : (double)a / (double)b * scale;

	text[0] = '\0';
	if (b != 0)
		snprintf(text, TEXT_SIZE, "%.2f", ratio);
}

static void stats_of_ratio(const struct stats *stats, char text[TEXT_SIZE])
{
	stats_ratio(stats->data, stats->stored, 1, text);
}

static void stats_of_full(const struct stats *stats, char text[TEXT_SIZE])
{
	stats_ratio(stats->stored, stats->capacity, 100, text);
}

static void stats_of_amplification(const struct stats *stats,
				   char text[TEXT_SIZE])
{
	stats_ratio(stats->log + stats->checkpoint, stats->written, 1, text);
}

static void stats_of_hits(const struct stats *stats, char text[TEXT_SIZE])
{
	stats_ratio(stats->hits, stats->hits + stats->misses, 100, text);
}

static void stats_of_packed(const struct stats *stats, char text[TEXT_SIZE])
{
	snprintf(text, TEXT_SIZE, "%" PRIu64, stats->data - stats->raw);
}

static void stats_of_dead(const struct stats *stats, char text[TEXT_SIZE])
{
	snprintf(text, TEXT_SIZE, "%" PRIu64,
		 stats->physical > stats->stored ?
			 stats->physical - stats->stored :
			 0);
}

/* A field, a flag, or what is made of them; some a closed volume cannot tell */
static const struct figure {
	struct report_column column;
	size_t field;
	void (*make)(const struct stats *stats, char text[TEXT_SIZE]);
	uint32_t flag;
	bool is_live;
} figures[] = {
#define FIGURE(name, kind, field, flag, make, is_live)     \
	{                                                  \
		{ name, kind }, field, make, flag, is_live \
	}
#define FIELD(name, kind) \
	FIGURE(#name, kind, offsetof(struct stats, name), 0, NULL, false)
#define LIVE(name, kind) \
	FIGURE(#name, kind, offsetof(struct stats, name), 0, NULL, true)
#define FLAG(name, flag) FIGURE(name, REPORT_BOOL, 0, flag, NULL, false)
#define LIVE_FLAG(name, flag) FIGURE(name, REPORT_BOOL, 0, flag, NULL, true)
#define MADE(name, kind, make) FIGURE(name, kind, 0, 0, make, false)
#define LIVE_MADE(name, kind, make) FIGURE(name, kind, 0, 0, make, true)
	FIELD(size, REPORT_SIZE),
	FIELD(data, REPORT_SIZE),
	FIELD(zero, REPORT_SIZE),
	FIELD(raw, REPORT_SIZE),
	MADE("compressed", REPORT_SIZE, stats_of_packed),
	FIELD(stored, REPORT_SIZE),
	MADE("ratio", REPORT_DECIMAL, stats_of_ratio),
	FIELD(capacity, REPORT_SIZE),
	MADE("full_percent", REPORT_DECIMAL, stats_of_full),
	FLAG("overcommitted", STATS_OVERCOMMITTED),
	FIELD(physical, REPORT_SIZE),
	MADE("dead", REPORT_SIZE, stats_of_dead),
	FIELD(free, REPORT_SIZE),
	FIELD(reserve, REPORT_SIZE),
	FIELD(map, REPORT_SIZE),
	LIVE(read, REPORT_SIZE),
	LIVE(written, REPORT_SIZE),
	LIVE(discarded, REPORT_SIZE),
	LIVE(log, REPORT_SIZE),
	LIVE(checkpoint, REPORT_SIZE),
	LIVE_MADE("amplification", REPORT_DECIMAL, stats_of_amplification),
	LIVE(moved, REPORT_SIZE),
	LIVE(cleaned, REPORT_NUMBER),
	LIVE(cache, REPORT_SIZE),
	LIVE(hits, REPORT_NUMBER),
	LIVE(misses, REPORT_NUMBER),
	LIVE_MADE("hit_percent", REPORT_DECIMAL, stats_of_hits),
	LIVE(checkpoints, REPORT_NUMBER),
	LIVE(since, REPORT_SIZE),
	FIELD(sessions, REPORT_NUMBER),
	FIELD(recoveries, REPORT_NUMBER),
	FIELD(replayed, REPORT_NUMBER),
	LIVE(waiting, REPORT_NUMBER),
	FLAG("read_only", STATS_READ_ONLY),
	FLAG("needs_check", STATS_NEEDS_CHECK),
	FLAG("full", STATS_FULL),
	LIVE_FLAG("failed", STATS_FAILED),
	LIVE_FLAG("recompressing", STATS_RECOMPRESSING),
	LIVE(recompress_level, REPORT_NUMBER),
	LIVE(examined, REPORT_SIZE),
	LIVE(rewritten, REPORT_SIZE),
	LIVE(saved, REPORT_SIZE),
};

#define N_FIGURES (sizeof(figures) / sizeof(figures[0]))

static void figure_text(const struct figure *figure, const struct stats *stats,
			char text[TEXT_SIZE])
{
	uint64_t value = 0;

	text[0] = '\0';
	if (figure->is_live && !(stats->flags & STATS_LIVE))
		return;
	if (figure->make != NULL) {
		figure->make(stats, text);
		return;
	}
	if (figure->flag != 0)
		value = (stats->flags & figure->flag) != 0;
	else
		memcpy(&value, (const char *)stats + figure->field,
		       sizeof(value));
	snprintf(text, TEXT_SIZE, "%" PRIu64, value);
}

/* As people read it. */
static const char *figure_shown(const struct figure *figure, char *text,
				bool is_bytes, char size[16])
{
	if (figure->column.kind == REPORT_BOOL)
		return strcmp(text, "0") == 0 ? "no" : "yes";
	if (figure->column.kind != REPORT_SIZE || is_bytes)
		return text;
	report_size(text, size);
	return size;
}

void stats_print(const struct stats *stats, bool is_bytes)
{
	char text[TEXT_SIZE], size[16];

	for (size_t i = 0; i < N_FIGURES; i++) {
		figure_text(&figures[i], stats, text);
		if (text[0] != '\0')
			printf("%-18s%s\n", figures[i].column.name,
			       figure_shown(&figures[i], text, is_bytes, size));
	}
}

void stats_json_members(FILE *out, const struct stats *stats)
{
	struct report_column columns[N_FIGURES];
	char texts[N_FIGURES][TEXT_SIZE], *cells[N_FIGURES];
	const struct report report = { .columns = columns,
				       .n_columns = N_FIGURES,
				       .cells = cells,
				       .n_rows = 1 };

	for (size_t i = 0; i < N_FIGURES; i++) {
		columns[i] = figures[i].column;
		figure_text(&figures[i], stats, texts[i]);
		cells[i] = texts[i];
	}
	report_json_members(out, &report, 0);
}

/* --- changes ----------------------------------------------------------------
 */

static const char *const headings[] = { "DATA",	     "STORED",	"RATIO",
					"FULL%",     "READ/s",	"WRITTEN/s",
					"BACKING/s", "MOVED/s", "AMPL",
					"HIT%" };

#define N_HEADINGS (sizeof(headings) / sizeof(headings[0]))

static void changes_put(const char *text, size_t *i)
{
	printf("%9s%s", text[0] != '\0' ? text : "-",
	       ++*i == N_HEADINGS ? "\n" : " ");
}

static void changes_put_size(uint64_t bytes, size_t *i)
{
	char number[TEXT_SIZE], text[16];

	snprintf(number, sizeof(number), "%" PRIu64, bytes);
	report_size(number, text);
	changes_put(text, i);
}

void stats_headings(void)
{
	for (size_t i = 0; i < N_HEADINGS;)
		changes_put(headings[i], &i);
}

/* What was counted since; both are of the same driver. */
static struct stats stats_since(const struct stats *now,
				const struct stats *before)
{
	struct stats since = *now;

	/* a driver that was restarted counts from 0 */
	if (now->log < before->log || now->read < before->read ||
	    now->written < before->written || now->hits < before->hits)
		return since;
	since.read -= before->read;
	since.written -= before->written;
	since.log -= before->log;
	since.checkpoint -= before->checkpoint;
	since.moved -= before->moved;
	since.hits -= before->hits;
	since.misses -= before->misses;
	return since;
}

void stats_changes(const struct stats *now, const struct stats *before,
		   uint64_t ms)
{
	struct stats since = stats_since(now, before);
	uint64_t rates[] = { since.read, since.written,
			     since.log + since.checkpoint, since.moved };
	char text[TEXT_SIZE];
	size_t i = 0;

	changes_put_size(now->data, &i);
	changes_put_size(now->stored, &i);
	stats_of_ratio(now, text);
	changes_put(text, &i);
	stats_of_full(now, text);
	changes_put(text, &i);
	for (size_t j = 0; j < sizeof(rates) / sizeof(rates[0]); j++)
		changes_put_size(ms == 0 ? 0 : rates[j] * 1000 / ms, &i);
	stats_of_amplification(&since, text);
	changes_put(text, &i);
	stats_of_hits(&since, text);
	changes_put(text, &i);
}
