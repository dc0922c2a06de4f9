/* conf.h - what is decided locally, as it is configured. */
#ifndef LARDER_POLICY_CONF_H
#define LARDER_POLICY_CONF_H

#include "base/addr.h"
#include "policy/limits.h"
#include "upstream/conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One route: names at or below suffix go to these upstreams and no others. */
struct route_conf {
	uint8_t  suffix[256];		/* wire form, lower case; the root for `forward` */
	uint8_t  suffix_len;
	uint32_t id;			/* hash of suffix, upstream URLs and `trusted`: stable over reloads */
	size_t  *upstreams;		/* indices into conf.upstreams */
	size_t   upstream_count;
	enum upstream_policy choice;	/* among them */
};

struct policy_conf {
	struct addr_prefix *allow;	/* who may ask */
	size_t              allow_count;
	struct route_conf  *routes;	/* routes[0] is the root: `forward`, perhaps without upstreams */
	size_t              route_count;
	struct limit_conf   limits;
	bool                local_names;	/* answer special-use names here */
	char               *identity_version;	/* CH TXT version.bind; NULL: REFUSED */
	char               *identity_hostname;	/* CH TXT hostname.bind; NULL: REFUSED */
};

#endif
