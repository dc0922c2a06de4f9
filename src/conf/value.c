/* value.c - values by type: numbers, times, sizes, yes and no, addresses.
 *
 * The table alone says what a text means.  A number without the unit it needs
 * is refused: nobody should have to guess whether "timeout: 5" are seconds.
 */
#include "conf/value.h"

#include "base/log.h"
#include "conf/report.h"
#include "conf/suggest.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define VALUE_WORDS_MAX 64

#define VALUE_LISTEN_PORT 53
#define VALUE_HTTP_PORT   9153
#define VALUE_PATH_MAX    107	/* of a socket file */
#define VALUE_HOST_MAX    253

struct value_unit {
	const char *name;
	int64_t     factor;
};
/* Largest first: a bound is written with the first that divides it. */
static const struct value_unit value_times[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 },
	{ "s", 1000 },     { "ms", 1 },      { NULL, 0 },
};
static const struct value_unit value_sizes[] = {
	{ "G", 1073741824 }, { "M", 1048576 }, { "K", 1024 }, { "B", 1 }, { NULL, 0 },
};
#define VALUE_TIME_EXAMPLES   "(examples: 500ms, 30s, 5m, 1h, 1d)"
#define VALUE_SIZE_EXAMPLES   "(examples: 512K, 64M, 1G)"
#define VALUE_LISTEN_EXAMPLES "(examples: 127.0.0.1, 127.0.0.1:5353, \"::1\", \"[::1]:5353\")"
#define VALUE_ENDPOINT_EXAMPLES "(examples: 127.0.0.1:9153, /run/larder/http)"
#define VALUE_PREFIX_EXAMPLES "(examples: 192.0.2.0/24, 192.0.2.1, \"2001:db8::/32\")"

static const struct value_unit *value_units(enum conf_type type)
{
	if (type == CONF_MS || type == CONF_SECONDS)
		return value_times;
	return type == CONF_OCTETS ? value_sizes : NULL;
}

const char *conf_value_format(enum conf_type type, int64_t number, char out[32])
{
	const struct value_unit *u = value_units(type);

	if (type == CONF_SECONDS)
		number *= 1000;
	if (type == CONF_BOOL)
		snprintf(out, 32, "%s", number ? "yes" : "no");
	else if (!u)
		snprintf(out, 32, "%lld", (long long)number);
	else if (!number)
		snprintf(out, 32, "0%s", u == value_times ? "s" : "B");
	else {
		while (number % u->factor)
			u++;
		snprintf(out, 32, "%lld%s", (long long)(number / u->factor), u->name);
	}
	return out;
}

static int value_bounds(const struct conf_option *o, const char *text, int64_t number,
                        char why[CONF_WHY_MAX])
{
	char low[32], high[32];

	if (number >= o->min && number <= o->max)
		return 0;
	return conf_why(why, "\"%s\" must be between %s and %s, not %.40s", o->name,
			conf_value_format(o->type, o->min, low),
			conf_value_format(o->type, o->max, high), text);
}

/* Digits at *text, which moves on past them.  More than fits counts as very much. */
static int64_t value_digits(const char **text)
{
	int64_t v = 0;

	for (; **text >= '0' && **text <= '9'; ++*text)
		v = v > INT64_MAX / 10 - 1 ? INT64_MAX / 10 : v * 10 + (**text - '0');
	return v;
}

static int value_number(const struct conf_option *o, const char *text, int64_t *out,
                        char why[CONF_WHY_MAX])
{
	const char *p = text;
	char        clip[CONF_CLIP_MAX];

	*out = value_digits(&p);
	if (p == text || *p)
		return conf_why(why, "\"%s\" takes a whole number from %lld to %lld, not \"%s\"",
				o->name, (long long)o->min, (long long)o->max,
				conf_clip(text, clip));
	return value_bounds(o, text, *out, why);
}

/* Times and sizes: digits and one unit. */
static int value_with_unit(const struct conf_option *o, const char *text, int64_t *out,
                           char why[CONF_WHY_MAX])
{
	const struct value_unit *units = value_units(o->type), *u = units;
	bool                     time = units == value_times;
	const char              *examples = time ? VALUE_TIME_EXAMPLES : VALUE_SIZE_EXAMPLES;
	const char              *p = text;
	char                     clip[CONF_CLIP_MAX];
	int64_t                  number = value_digits(&p);

	conf_clip(text, clip);
	if (conf_option_takes_auto(o) && !strcmp(text, "auto")) {
		*out = 0;
		return 0;
	}
	if (p == text)
		return conf_why(why, "\"%s\" takes a %s%s, not \"%s\" %s", o->name,
				time ? "time" : "size", conf_option_takes_auto(o) ? " or auto" : "", clip,
				examples);
	if (!strcmp(text, "0"))		/* no unit makes it more */
		return value_bounds(o, text, *out = 0, why);
	if (!*p)
		return conf_why(why, "\"%s\": %s lacks its unit %s", o->name, clip, examples);
	while (u->name && strcmp(u->name, p))
		u++;
	if (!u->name)
		return conf_why(why, "\"%s\": unknown unit in \"%s\" %s", o->name, clip, examples);
	if (__builtin_mul_overflow(number, u->factor, &number))
		number = INT64_MAX;
	if (o->type == CONF_SECONDS) {
		if (number % 1000 && number != INT64_MAX)
			return conf_why(why, "\"%s\" counts whole seconds, not %s", o->name, clip);
		number /= 1000;
	}
	*out = number;
	if (!o->size && number)
		return conf_why(why, "\"%s\" is not built yet: only 0s is possible", o->name);
	return value_bounds(o, text, number, why);
}

static int value_bool(const struct conf_option *o, const char *text, int64_t *out,
                      char why[CONF_WHY_MAX])
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };
	char                     clip[CONF_CLIP_MAX];

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!strcmp(text, words[i])) {
			*out = i & 1;
			if (o->size || !*out)
				return 0;
			return conf_why(why, "\"%s\" is not built yet: only no is possible", o->name);
		}
	return conf_why(why, "\"%s\" takes yes or no, not \"%s\"", o->name, conf_clip(text, clip));
}

/* "error, warning, notice, info or debug" */
static const char *value_list_words(const char *const *words, char out[VALUE_WORDS_MAX])
{
	size_t used = 0;

	for (size_t i = 0; words[i] && used < VALUE_WORDS_MAX; i++)
		used += (size_t)snprintf(out + used, VALUE_WORDS_MAX - used, "%s%s",
		                         !i ? "" : words[i + 1] ? ", " : " or ", words[i]);
	return out;
}

static int value_word(const struct conf_option *o, const char *text, int64_t *out,
                      char why[CONF_WHY_MAX])
{
	const char *const *words = conf_type_words(o->type);
	struct suggest     s;
	char               clip[CONF_CLIP_MAX], hint[SUGGEST_TEXT_MAX], list[VALUE_WORDS_MAX];

	suggest_init(&s, text);
	for (*out = 0; words[*out]; ++*out) {
		if (!strcmp(text, words[*out]))
			return 0;
		suggest_offer(&s, words[*out]);
	}
	return conf_why(why, "\"%s\" takes %s, not \"%s\"%s", o->name, value_list_words(words, list),
			conf_clip(text, clip), suggest_text(&s, hint));
}

static int value_text(const struct conf_option *o, const char *text, size_t len,
                      char why[CONF_WHY_MAX])
{
	if (len < (size_t)o->min || len > (size_t)o->max)
		return conf_why(why, "\"%s\" must have between %lld and %lld octets, not %zu",
				o->name, (long long)o->min, (long long)o->max, len);
	for (size_t i = 0; i < len;) {
		uint32_t code;

		i += conf_char(text + i, len - i, &code);
		if (code < 0x20 || code == 0x7f || code == CONF_CHAR_BAD)
			return conf_why(why, "\"%s\" must be UTF-8 without control characters",
					o->name);
	}
	return 0;
}

static int value_listen(const char *text, struct addr *out, char why[CONF_WHY_MAX])
{
	char        clip[CONF_CLIP_MAX];
	const char *percent = strchr(text, '%');

	if (addr_parse(text, VALUE_LISTEN_PORT, out) == 0)
		return 0;
	conf_clip(text, clip);
	if (percent)
		return conf_why(why, "\"%s\" is not an address; is there an interface \"%.*s\"?",
				clip, (int)strcspn(percent + 1, "]:"), percent + 1);
	return conf_why(why, "\"%s\" is not an address to listen on " VALUE_LISTEN_EXAMPLES, clip);
}

static int value_prefix(const char *text, struct addr_prefix *out, char why[CONF_WHY_MAX])
{
	char clip[CONF_CLIP_MAX];

	if (addr_prefix_parse(text, out) == 0)
		return 0;
	return conf_why(why, "\"%s\" is not an address prefix " VALUE_PREFIX_EXAMPLES,
			conf_clip(text, clip));
}

static int value_endpoint(const char *text, size_t len, struct addr *out, char why[CONF_WHY_MAX])
{
	char clip[CONF_CLIP_MAX];

	if (*text != '/') {
		if (addr_parse(text, VALUE_HTTP_PORT, out) == 0)
			return 0;
	} else if (len <= VALUE_PATH_MAX) {
		return 0;
	}
	return conf_why(why, "\"%s\" is neither an address nor the path of a socket file of at most %d "
			"octets " VALUE_ENDPOINT_EXAMPLES, conf_clip(text, clip), VALUE_PATH_MAX);
}

/* Letters, digits and inner hyphens between dots, as a browser would write it. */
static int value_host(const char *text, size_t len, char why[CONF_WHY_MAX])
{
	char clip[CONF_CLIP_MAX];
	bool good = len > 0 && len <= VALUE_HOST_MAX, inner = false;

	for (size_t i = 0; i < len && good; i++) {
		if (text[i] == '.' || text[i] == '-')
			good = inner;
		else
			good = isalnum((unsigned char)text[i]) != 0;
		inner = text[i] != '.';
	}
	if (good && isalnum((unsigned char)text[len - 1]))
		return 0;
	return conf_why(why, "\"%s\" is not a host name (example: dns.example.net)",
			conf_clip(text, clip));
}

/* Whoever tells addresses cannot be looked for by name. */
static int value_server(const char *text, struct conf_url *out, char why[CONF_WHY_MAX])
{
	char clip[CONF_CLIP_MAX];
	bool host = conf_url_is_host(text);

	if (!host && conf_url_read(text, out, why) < 0)
		return -EINVAL;
	if (!host && !*out->host)
		return 0;
	return conf_why(why, "\"%s\": a bootstrap server is given by its address, not by name, since somebody would "
			"have to be asked for that first (examples: 192.0.2.1, tls://192.0.2.1#dns.example)",
			conf_clip(text, clip));
}

int conf_value_read(const struct conf_option *o, const char *text, size_t len,
                    union conf_value *out, char why[CONF_WHY_MAX])
{
	memset(out, 0, sizeof *out);
	if (memchr(text, '\0', len))
		return conf_why(why, "\"%s\" must be UTF-8 without control characters", o->name);
	switch (o->type) {
	case CONF_NUMBER:
		return value_number(o, text, &out->number, why);
	case CONF_MS:
	case CONF_SECONDS:
	case CONF_OCTETS:
		return value_with_unit(o, text, &out->number, why);
	case CONF_BOOL:
		return value_bool(o, text, &out->number, why);
	case CONF_LEVEL:
	case CONF_POLICY:
	case CONF_POLICIES:
	case CONF_METHOD:
	case CONF_PROFILE:
		return value_word(o, text, &out->number, why);
	case CONF_TEXT:
	case CONF_PATH:
		return value_text(o, text, len, why);
	case CONF_URL:
		return conf_url_read(text, &out->url, why);
	case CONF_LISTEN:
		return value_listen(text, &out->addr, why);
	case CONF_PREFIXES:
		return value_prefix(text, &out->prefix, why);
	case CONF_ENDPOINTS:
		return value_endpoint(text, len, &out->addr, why);
	case CONF_HOSTS:
		return value_host(text, len, why);
	case CONF_FORWARD:
	case CONF_ROUTES:
		return conf_url_is_name(text) ? 0 : conf_url_read(text, &out->url, why);
	case CONF_SERVERS:
		return value_server(text, &out->url, why);
	case CONF_PINS:
		return conf_pin_read(text, out->pin, why);
	case CONF_SECTION:
	case CONF_UPSTREAMS:
		break;
	}
	return conf_why(why, "\"%s\" is not built yet", o->name);
}
