/* main.c - larderd's command line. */
#include "config.h"

#include "daemon/daemon.h"

#include <getopt.h>
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
	conf = conf_load(&args, &report);
	if (report)
		fputs(report, stderr);
	free(report);
	if (!conf) {
		fputs(check ? "larderd: the configuration has mistakes\n" :
		              "larderd: not started: the configuration has mistakes\n", stderr);
		return 1;
	}
	if (check) {
		puts("the configuration is good");
		conf_unref(conf);
		return 0;
	}
	return daemon_run(conf, &args);
}
