/* table.h - the one table of options.
 *
 * Parsing, bounds, defaults, --check, the dump, the JSON Schema and the test of
 * the manual all walk these rows.  An option that is added here exists
 * everywhere; only its meaning is written elsewhere.
 */
#ifndef LARDER_CONF_TABLE_H
#define LARDER_CONF_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_type {
	CONF_SECTION,		/* mapping of options whose names go on with a dot */
	CONF_NUMBER,
	CONF_MS,		/* time, kept in milliseconds */
	CONF_SECONDS,		/* time, kept in whole seconds */
	CONF_OCTETS,
	CONF_BOOL,
	CONF_LEVEL,		/* one of log_level_names */
	CONF_POLICY,		/* one of upstream_policy_names */
	CONF_METHOD,		/* post or get */
	CONF_PROFILE,		/* strict or opportunistic */
	CONF_TEXT,		/* min and max count its octets */
	CONF_PATH,		/* the same; "" is none */
	CONF_URL,		/* one upstream URL */
	/* Lists; max counts their elements. */
	CONF_LISTEN,
	CONF_PREFIXES,
	CONF_FORWARD,		/* names of upstreams, or URLs */
	CONF_SERVERS,		/* URLs with addresses */
	CONF_PINS,		/* hashes of keys */
	CONF_ENDPOINTS,		/* addresses, or absolute paths of socket files */
	CONF_HOSTS,		/* host names */
	/* Mappings whose keys are the user's; max counts their entries. */
	CONF_UPSTREAMS,		/* name -> section "upstreams.*" */
	CONF_ROUTES,		/* suffix -> list like CONF_FORWARD, of at most CONF_LIST_MAX */
	CONF_POLICIES		/* suffix -> like CONF_POLICY */
};

#define CONF_LIST_MAX 64
#define CONF_BOOTSTRAP_MAX 8	/* all are asked at once */

struct conf_option {
	const char    *name;		/* whole: "cache.size" */
	enum conf_type type;
	int64_t        min, max;	/* in the unit that is kept */
	const char    *fallback;	/* default as text, elements parted by a space; or NULL.  A time whose
				 * default is "auto" takes that word, which is kept as 0 */
	size_t         offset, size;	/* where in struct conf; size 0: nowhere, which means that
					 * nothing but the default is built yet */
	const char    *about;		/* one line for the schema */
};

extern const struct conf_option conf_options[];
extern const size_t             conf_option_count;

/* The option `key` of a section: prefix is "" or ends with a dot.  NULL when there is none. */
const struct conf_option *conf_option_find(const char *prefix, const char *key);
/* The options of a section lie together: index of the first, and how many. */
size_t                    conf_section_index(const char *prefix, size_t *count);
/* Index of an option that the caller knows to exist. */
size_t                    conf_option_index(const char *name);
/* What follows the last dot: the key as it stands in the file. */
const char               *conf_option_key(const struct conf_option *o);
/* Does the option stand directly in this section? */
bool                      conf_option_is_in(const struct conf_option *o, const char *prefix);
bool                      conf_type_is_list(enum conf_type type);
bool                      conf_type_is_mapping(enum conf_type type);
/* Are its keys domain names? */
bool                      conf_type_is_by_suffix(enum conf_type type);
/* The words that a type takes, ended by NULL; NULL: it takes others. */
const char *const        *conf_type_words(enum conf_type type);
bool                      conf_option_takes_auto(const struct conf_option *o);

#endif
