/* reply.h - values of replies.
 *
 * All give a new JSON value, or NULL when memory is short; json_pack() and
 * json_object_set_new() take that NULL and fail in turn, so that only the end
 * of the chain needs to look.
 */
#ifndef LARDER_CONTROL_REPLY_H
#define LARDER_CONTROL_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct control_slow;
struct control_status;
struct control_upstream;
struct histogram_view;
struct stats_row;

json_t *reply_text(const char *text);		/* null for NULL; "?" for what is not UTF-8 */
json_t *reply_count(uint64_t n);		/* JSON's integers end at 2^63 - 1 */
json_t *reply_seconds(double s);		/* whole ones */
json_t *reply_cache(const struct control_status *s);

/* A counter for each row, by name. */
json_t *reply_counters(const struct stats_row *rows, const uint64_t *counters, size_t n);
/* Adds p50_us, p90_us and p99_us to into, which may be NULL.  Gives into; or NULL, with into freed. */
json_t *reply_add_quantiles(json_t *into, const struct histogram_view *h);
json_t *reply_latency(const struct histogram_view *h);
/* Its state and the reason for it, the times learnt, what was counted (reply_health.c). */
json_t *reply_upstream_health(const struct control_upstream *up);
extern const char *const reply_order_names[];	/* by enum health_order */
/* {queries, over_us, dropped}, as the method Slow replies; names: may they be told? (larder_slow.c) */
json_t *reply_slow(const struct control_slow *s, bool names);

#endif
