/* records.c - from octets to objects with a name, a TTL, a type and data. */
#include "control/records.h"

#include "control/reply.h"
#include "dns/message.h"
#include "dns/rrtype.h"
#include "dns/text.h"

#include <stdlib.h>

static json_t *records_one(const struct dns_text_record *r, const char *section, char *text)
{
	char type[DNS_RRTYPE_TEXT_MAX];

	dns_rdata_to_text(r->type, r->rdata, text);
	return json_pack("{s:s, s:s, s:o, s:s, s:s}", "section", section, "name", r->owner, "ttl_s",
	                 reply_count(r->ttl_s), "type", dns_rrtype_to_text(r->type, type), "data", text);
}

/* False: memory is short. */
static bool records_add(json_t *list, struct cursor *c, unsigned count, const char *section, char *text)
{
	struct dns_text_record r;

	for (unsigned i = 0; i < count && dns_text_read(c, &r); i++)
		if (r.type != DNS_OPT && json_array_append_new(list, records_one(&r, section, text)))
			return false;
	return true;
}

json_t *records_of_message(const uint8_t *msg, size_t len)
{
	static const char *const sections[] = { "answer", "authority", "additional" };
	struct cursor            c = cursor_of(msg, len, 4);
	unsigned                 questions = cursor_u16(&c), counts[3];
	char                    *text = malloc(DNS_RDATA_TEXT_MAX);
	json_t                  *list = json_array();
	bool                     ok = text && list;

	for (unsigned i = 0; i < 3; i++)
		counts[i] = cursor_u16(&c);
	for (unsigned i = 0; i < questions && !c.bad; i++) {
		cursor_skip_name(&c);
		cursor_skip(&c, 4);
	}
	for (unsigned i = 0; ok && i < 3; i++)
		ok = records_add(list, &c, counts[i], sections[i], text);
	free(text);
	if (ok)
		return list;
	json_decref(list);
	return NULL;
}
