/* build_state.h - what the parts of build share: the configuration on its way, and what is known so far.
 *
 * build.c drives: single values, listeners, then bootstrap servers, upstreams and routes.  Every function reports
 * mistakes itself; memory that is short sets report->no_memory, and the result is then thrown away, so that
 * the parts may go on with what they have.
 */
#ifndef LARDER_CONF_BUILD_STATE_H
#define LARDER_CONF_BUILD_STATE_H

#include "conf/build.h"
#include "conf/resolv.h"
#include "conf/table.h"
#include "conf/url.h"
#include "conf/value.h"

#define BUILD_UPSTREAMS_MAX 1024

struct build {
	struct conf                *c;
	const struct conf_settings *settings;
	struct conf_report         *report;
	struct conf_own             own;
	const struct conf          *running;	/* or NULL */
	struct tls_trust           *system;	/* the system's authorities, once somebody needs them */
	ssize_t                    *named;	/* for each named upstream its index, -1 for a bad
						 * one, or BUILD_UNSEEN */
	char                      **urls;	/* for each named upstream its URL in normal form; NULL: bad */
};

#define BUILD_MISTAKE(b, at, ...) conf_report_add((b)->report, CONF_MISTAKE, at, __VA_ARGS__)

/* The group of settings of this option, as in "upstreams". */
const struct conf_group *build_group(const struct build *b, const char *option);
void                    *build_alloc(struct build *b, size_t count, size_t size);	/* zeroed; at least one element */
char                    *build_copy(struct build *b, const char *text);

/* Of a text that conf_parse() let through. */
void                     build_value(const struct conf_option *o, const struct conf_text *t, union conf_value *out);

/* ---- build_peer.c ---- */

/* One upstream on its way into the configuration. */
struct build_source {
	struct conf_url            url;
	const struct conf_text    *t;		/* where the URL stands */
	const struct conf_setting *pins, *ca, *method, *trusted, *profile, *upgrade;	/* what its section says; NULL: nothing */
};

/* entry: its section in `upstreams`, or NULL; the URL is the caller's to set. */
void              build_source_init(struct build_source *s, const struct conf_setting *entry, const struct conf_text *t);
bool              build_source_is_trusted(const struct build_source *s);
bool              build_source_is_opportunistic(const struct build_source *s);
bool              build_source_is_upgraded(const struct build *b, const struct build_source *s);

/* These report why not. */
bool              build_source_is_sound(struct build *b, const struct build_source *s);
bool              build_host_is_findable(struct build *b, const struct build_source *s);

/* One reference each; NULL after a mistake, or without memory. */
struct tls_trust *build_trust(struct build *b, const struct build_source *s);
struct tls_peer  *build_peer(struct build *b, const struct build_source *s);

/* ---- build_upstream.c ---- */

/* Before and after all others of these: which section has which URL. */
void              build_urls(struct build *b);
void              build_done(struct build *b);

/* Index of the upstream with this URL, which is added when it is new; -1 after a mistake. */
ssize_t           build_upstream(struct build *b, const struct build_source *s);

/* The same for an element of `forward` or of a route: a name or a URL. */
ssize_t           build_reference(struct build *b, const struct conf_option *o, const struct conf_text *t);
void              build_names(struct build *b);
void              build_bootstrap(struct build *b);
void              build_empty(struct upstream_conf *u);

/* ---- build_route.c ---- */

void              build_routes(struct build *b, enum conf_resolv_use resolv);
void              build_route_policies(struct build *b);

#endif
