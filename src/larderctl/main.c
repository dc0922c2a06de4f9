/* main.c - larderctl: asks a running larderd, over its control socket.
 *
 * One table holds the verbs; finding one, the help and the did-you-mean walk
 * it.  Options may stand anywhere.
 */
#include "config.h"

#include "larderctl/larderctl.h"
#include "larderctl/suggest.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARDERCTL_SOCKET "/run/larder/io.larder"

#define INTERVAL_MS     1000
#define INTERVAL_MS_MIN 500
#define INTERVAL_MS_MAX 3600000

enum { TAKES_SUBTREE = 1, TAKES_INTERVAL = 2, TAKES_FILTER = 4 };

static const struct verb {
	const char *word, *second;		/* second: NULL, or the word after it */
	const char *arguments;			/* for the help */
	int         count_max;			/* of them */
	unsigned    takes;			/* options that mean something to it alone */
	const char *help;
	enum larderctl_exit (*run)(const struct order *o);
} verbs[] = {
	{ "status", NULL, "", 0, 0, "is larderd well, and what does it work with",
	  verb_status },
	{ "stats", NULL, "", 0, 0, "how clients were answered, and how upstreams do",
	  verb_stats },
	{ "top", NULL, "", 0, TAKES_INTERVAL, "the same and what goes on, live on the whole screen", verb_top },
	{ "upstreams", NULL, "", 0, 0, "how each upstream is, and why", verb_upstreams },
	{ "upstream", NULL, " NAME up|down|auto|reset", 2, 0, "always ask it, never, as found, or find out anew",
	  verb_upstream },
	{ "cache", "flush", " [NAME [TYPE]] [--subtree]", 2, TAKES_SUBTREE,
	  "forget all answers, or those for a name", verb_flush },
	{ "cache", "stats", "", 0, 0, "how full the cache is, and how it is used", verb_cache_stats },
	{ "cache", "lookup", " NAME [TYPE]", 2, 0, "what the cache holds for a name", verb_cache_lookup },
	{ "cache", "dump", "", 0, 0, "all that the cache holds", verb_cache_dump },
	{ "resolve", NULL, " NAME [TYPE]", 2, 0, "ask a question as a client would", verb_resolve },
	{ "trace", NULL, " NAME [TYPE]", 2, 0, "the same step by step, and where the time goes", verb_trace },
	{ "monitor", NULL, " [NAME [--subtree]]", 1, TAKES_SUBTREE | TAKES_FILTER,
	  "queries as they are answered, until Ctrl-C", verb_monitor },
	{ "slow", NULL, "", 0, 0, "the latest slow queries, and why they were", verb_slow },
	{ "route", NULL, " NAME", 1, 0, "where a question for a name goes, and why", verb_route },
	{ "health", NULL, "", 0, 0, "is DNS well? Exit code 1 when it fails", verb_health },
	{ "log", "queries", " on|off", 1, 0, "log each query, or no more", verb_log_queries },
	{ "log", NULL, " LEVEL", 1, 0, "log up to error, warning, notice, info or debug", verb_log },
	{ "reload", NULL, "", 0, 0, "read the configuration anew", verb_reload },
	{ "config", NULL, "", 0, 0, "print the configuration in effect", verb_config },
};

#define VERBS (sizeof verbs / sizeof verbs[0])

enum {
	OPTION_SOCKET = 256, OPTION_JSON, OPTION_SUBTREE, OPTION_INTERVAL,
	OPTION_TYPE, OPTION_RCODE, OPTION_OUTCOME, OPTION_CLIENT, OPTION_SLOWER,
};

static const struct option options[] = {
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "subtree", no_argument, NULL, OPTION_SUBTREE },
	{ "interval", required_argument, NULL, OPTION_INTERVAL },
	{ "type", required_argument, NULL, OPTION_TYPE },
	{ "rcode", required_argument, NULL, OPTION_RCODE },
	{ "outcome", required_argument, NULL, OPTION_OUTCOME },
	{ "client", required_argument, NULL, OPTION_CLIENT },
	{ "slower", required_argument, NULL, OPTION_SLOWER },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static void main_help(void)
{
	puts("usage: larderctl [OPTIONS] VERB\n\nVerbs:");
	for (size_t i = 0; i < VERBS; i++) {
		const struct verb *v = &verbs[i];
		int n = printf("  %s%s%s%s", v->word, v->second ? " " : "",
			       v->second ? v->second : "", v->arguments);

		printf("%*s%s\n", n < 42 ? 42 - n : 1, "", v->help);
	}
	puts("\nOptions:\n"
	     "  --socket PATH                           where larderd's control socket is\n"
	     "                                          ($LARDER_SOCKET, else " LARDERCTL_SOCKET ")\n"
	     "  --json                                  print what larderd replied, as JSON\n"
	     "  --subtree                               the name and every name below it: of flush, of monitor\n"
	     "  --interval TIME                         how often top looks: 500ms to 1h; 1s\n"
	     "  --type TYPE, --rcode RCODE, --outcome OUTCOME, --client PREFIX, --slower TIME\n"
	     "                                          what monitor tells of, such as A, SERVFAIL, miss,\n"
	     "                                          192.0.2.0/24, 100ms\n"
	     "  --help, --version\n"
	     "\nExit codes: 0 done, 1 larderd refused or failed, or the answer is no, 2 wrong usage,"
	     " 3 larderd not reached.");
}

/* How far what was typed is from a verb, by either of its words. */
static unsigned main_distance(const struct verb *v, const char *typed)
{
	unsigned first = suggest_distance(v->word, typed);
	unsigned second = v->second ? suggest_distance(v->second, typed) : first;

	return first < second ? first : second;
}

static enum larderctl_exit main_complain_verb(const char *typed)
{
	const struct verb *best = NULL;
	unsigned           least = SUGGEST_FAR;

	for (size_t i = 0; i < VERBS; i++)
		if (main_distance(&verbs[i], typed) < least) {
			least = main_distance(&verbs[i], typed);
			best = &verbs[i];
		}
	if (best)
		term_complain("there is no \"%s\"; did you mean \"larderctl %s%s%s\"?", typed,
			      best->word, best->second ? " " : "",
			      best->second ? best->second : "");
	else
		term_complain("there is no \"%s\"; see larderctl --help", typed);
	return LARDERCTL_USAGE;
}

/* A first word alone: which are the second ones? */
static void main_complain_half(const char *word)
{
	char   seconds[128] = "";
	size_t used = 0;

	for (size_t i = 0; i < VERBS; i++)
		if (!strcmp(verbs[i].word, word) && used < sizeof seconds)
			used += (size_t)snprintf(seconds + used, sizeof seconds - used, "%s%s", used ? ", " : "",
			                         verbs[i].second);
	term_complain("%s: what of it? There are: %s", word, seconds);
}

/* The verb that words begin with; NULL, and *result, when there is none. */
static const struct verb *main_find(int count, char **words, enum larderctl_exit *result)
{
	const struct verb *first = NULL;

	*result = LARDERCTL_USAGE;
	if (!count) {
		term_complain("what shall be done? See larderctl --help");
		return NULL;
	}
	for (size_t i = 0; i < VERBS; i++) {
		if (strcmp(verbs[i].word, words[0]))
			continue;
		first = &verbs[i];
		if (!first->second || (count > 1 && !strcmp(first->second, words[1])))
			return first;
	}
	if (first && count > 1)
		main_complain_verb(words[1]);
	else if (first)
		main_complain_half(words[0]);
	if (first)
		return NULL;
	*result = main_complain_verb(words[0]);
	return NULL;
}

/* NULL, or an option that was given and that the verb does not take. */
static const char *main_misused(const struct order *o, const struct verb *v)
{
	const struct order_filter *f = &o->filter;

	if (o->subtree && !(v->takes & TAKES_SUBTREE))
		return "subtree";
	if (o->interval_ms && !(v->takes & TAKES_INTERVAL))
		return "interval";
	if (v->takes & TAKES_FILTER)
		return NULL;
	return f->type ? "type" : f->rcode ? "rcode" : f->outcome ? "outcome" : f->client ? "client" :
	       f->slower ? "slower" : NULL;
}

static enum larderctl_exit main_run(struct order *o, int count, char **words)
{
	enum larderctl_exit result;
	const struct verb  *v = main_find(count, words, &result);
	int                 taken = v && v->second ? 2 : 1;
	const char         *misused;

	if (!v)
		return result;
	o->count = count - taken;
	o->arguments = words + taken;
	if (o->count > v->count_max) {
		term_complain("\"%s\" is too much for larderctl %s%s%s%s",
			      o->arguments[v->count_max], v->word, v->second ? " " : "",
			      v->second ? v->second : "", v->arguments);
		return LARDERCTL_USAGE;
	}
	misused = main_misused(o, v);
	if (misused) {
		term_complain("--%s means nothing to %s", misused, v->word);
		return LARDERCTL_USAGE;
	}
	if (!o->interval_ms)
		o->interval_ms = INTERVAL_MS;
	result = v->run(o);
	if ((fflush(stdout) || ferror(stdout)) && !result) {
		term_complain("cannot write the answer");
		return LARDERCTL_REFUSED;
	}
	return result;
}

/* "2s", "500ms", "1m", "1h", or seconds without a unit; 0: it is none of these, or out of bounds. */
static unsigned main_read_interval(const char *text)
{
	static const struct {
		const char *unit;
		double      ms;
	} units[] = { { "", 1e3 }, { "ms", 1 }, { "s", 1e3 }, { "m", 60e3 }, { "h", 3600e3 } };
	char  *end;
	double n = strtod(text, &end);

	for (size_t i = 0; end != text && i < sizeof units / sizeof *units; i++)
		if (!strcmp(end, units[i].unit) && n * units[i].ms >= INTERVAL_MS_MIN &&
		    n * units[i].ms <= INTERVAL_MS_MAX)
			return (unsigned)(n * units[i].ms + 0.5);
	return 0;
}

int main(int argc, char **argv)
{
	struct order o = { .socket = getenv("LARDER_SOCKET") };
	int          c;

	term_init(&o.term);
	if (!o.socket || !*o.socket)
		o.socket = LARDERCTL_SOCKET;
	while ((c = getopt_long(argc, argv, "hV", options, NULL)) != -1)
		switch (c) {
		case OPTION_SOCKET:
			o.socket = optarg;
			break;
		case OPTION_JSON:
			o.json = true;
			break;
		case OPTION_SUBTREE:
			o.subtree = true;
			break;
		case OPTION_INTERVAL:
			o.interval_ms = main_read_interval(optarg);
			if (o.interval_ms)
				break;
			term_complain("\"%s\" is no interval: from 500ms to 1h", optarg);
			return LARDERCTL_USAGE;
		case OPTION_TYPE:
			o.filter.type = optarg;
			break;
		case OPTION_RCODE:
			o.filter.rcode = optarg;
			break;
		case OPTION_OUTCOME:
			o.filter.outcome = optarg;
			break;
		case OPTION_CLIENT:
			o.filter.client = optarg;
			break;
		case OPTION_SLOWER:
			o.filter.slower = optarg;
			break;
		case 'h':
			main_help();
			return LARDERCTL_OK;
		case 'V':
			puts("larderctl " PACKAGE_VERSION);
			return LARDERCTL_OK;
		default:	/* getopt_long() has said why */
			return LARDERCTL_USAGE;
		}
	return (int)main_run(&o, argc - optind, argv + optind);
}
