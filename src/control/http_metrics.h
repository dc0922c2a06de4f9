/* http_metrics.h - the numbers as Prometheus reads them. */
#ifndef LARDER_CONTROL_HTTP_METRICS_H
#define LARDER_CONTROL_HTTP_METRICS_H

#include <stddef.h>

struct http_sight;

enum metrics_format {
	METRICS_TEXT,		/* Prometheus text 0.0.4 */
	METRICS_OPEN,		/* OpenMetrics 1.0 */
};

extern const char *const metrics_content_types[];

/* What a client that sends this Accept (NULL: none) should get. */
enum metrics_format metrics_negotiate(const char *accept);
/* Heap text that the caller frees, of *len octets; NULL when memory is short. */
char *metrics_write(const struct http_sight *s, enum metrics_format format, size_t *len);

#endif
