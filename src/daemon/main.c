/* main.c - larderd's command line. */
#include "config.h"

#include "daemon/activation.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "daemon/service.h"

#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 64

enum { OPT_CHECK = 256, OPT_LISTEN, OPT_FORWARD, OPT_SOCKET, OPT_THREADS, OPT_SCHEMA, OPT_VERSION };

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "forward", required_argument, NULL, OPT_FORWARD },
	{ "control-socket", required_argument, NULL, OPT_SOCKET },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "schema", no_argument, NULL, OPT_SCHEMA },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
	"Usage: larderd [OPTION]...\n"
	"A caching DNS stub resolver for this host.\n"
	"\n"
	"  -c, --config FILE          read FILE and FILE.d/*.yaml (" LARDER_SYSCONFDIR "/larder/larder.yaml)\n"
	"      --check                check the configuration and exit\n"
	"      --listen ADDRESS       listen here instead; may be given several times\n"
	"      --forward URL          ask this upstream instead; may be given several times\n"
	"      --control-socket PATH  where larderctl reaches this larderd\n"
	"      --threads N            worker threads\n"
	"      --schema               print the JSON Schema of the configuration file\n"
	"      --version              print the version\n"
	"  -h, --help                 print this\n"
	"\n"
	"With --listen or --forward and without --config no file is needed.\n"
	"See larderd(8) and larder.yaml(5).\n";

static int main_usage_error(void)
{
	fputs("Try larderd --help.\n", stderr);
	return 2;
}

static int main_add(const char **list, size_t *count, const char *text)
{
	if (*count == LIST_MAX) {
		fprintf(stderr, "larderd: more than %d addresses on the command line\n", LIST_MAX);
		return -1;
	}
	list[(*count)++] = text;
	return 0;
}

static bool main_lists(const struct conf_args *args, const struct addr *addr)
{
	struct addr listed;

	for (size_t i = 0; i < args->listen_count; i++)
		if (addr_parse(args->listen[i], 53, &listed) == 0 && addr_equal(&listed, addr))
			return true;
	return false;
}

/* Sockets that were handed over say where to listen, in place of the file, which is read all the same. */
static int main_listen_where_handed(const struct activation *handed, struct conf_args *args)
{
	if (handed->count && !args->file && !args->listen_count && !args->forward_count)
		args->file = LARDER_SYSCONFDIR "/larder/larder.yaml";
	for (size_t i = 0; i < handed->count; i++)
		if (!main_lists(args, &handed->sockets[i].addr) &&
		    main_add(args->listen, &args->listen_count, handed->sockets[i].text) < 0)
			return -1;
	return 0;
}

/* A report is made for reading as it is, but in a journal each line needs its priority. */
static void main_report(const char *report, bool journal, enum log_level level)
{
	if (journal)
		log_lines(level, report);
	else
		fputs(report, stderr);
}

static int main_check(struct conf *conf)
{
	if (!conf) {
		fputs("larderd: the configuration has mistakes\n", stderr);
		return 1;
	}
	puts("the configuration is good");
	conf_unref(conf);
	return 0;
}

/* Each scrape of the metrics takes some 300 KiB and gives them back.  The allocator would give them back to the kernel,
 * and the page faults of the next scrape cost more than all else in it (2.4 ms instead of 0.25, measured). */
static void main_keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

static int main_run(struct conf_args *args)
{
	struct activation handed;
	bool              journal = journal_open();
	struct conf      *conf;
	char             *report = NULL;
	int               code;

	main_keep_memory();
	activation_take(&handed);
	if (main_listen_where_handed(&handed, args) < 0)
		return 2;
	conf = conf_load(args, &report);
	if (report)
		main_report(report, journal, conf ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR);
	free(report);
	if (!conf) {
		main_report("larderd: not started: the configuration has mistakes\n", journal, LOG_LEVEL_ERROR);
		service_failed("the configuration has mistakes");
		return 1;
	}
	code = daemon_run(conf, args, &handed);
	activation_close(&handed);
	return code;
}

int main(int argc, char **argv)
{
	const char      *listen[LIST_MAX], *forward[LIST_MAX];
	struct conf_args args = { .listen = listen, .forward = forward };
	struct conf     *conf;
	char            *report = NULL;
	bool             check = false;
	int              c;

	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			args.file = optarg;
			break;
		case OPT_CHECK:
			check = true;
			break;
		case OPT_LISTEN:
			if (main_add(listen, &args.listen_count, optarg) < 0)
				return 2;
			break;
		case OPT_FORWARD:
			if (main_add(forward, &args.forward_count, optarg) < 0)
				return 2;
			break;
		case OPT_SOCKET:
			args.control_socket = optarg;
			break;
		case OPT_THREADS:
			args.threads = optarg;
			break;
		case OPT_SCHEMA:
			return conf_schema(stdout) < 0;
		case OPT_VERSION:
			puts("larderd " PACKAGE_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			return main_usage_error();
		}
	}
	if (optind < argc) {
		fprintf(stderr, "larderd: unexpected argument \"%s\"\n", argv[optind]);
		return main_usage_error();
	}
	if (!check)
		return main_run(&args);
	conf = conf_load(&args, &report);
	if (report)
		fputs(report, stderr);
	free(report);
	return main_check(conf);
}
