/* fuzz_name.c - names: out of messages, into text and back, and compressed into messages again.
 *
 * The first octet is an offset; the octets are a message in which a name stands
 * there.  Behind it further names are read one after the other and written into
 * a reply, from which they must be read back.  The octets are also tried as
 * text.
 */
#include "dns/compress.h"
#include "dns/cursor.h"

#include "../unit/oracle.h"
#include "fuzz.h"

#define REPLY_MAX 65535

static uint8_t reply[REPLY_MAX + 300];

static void fuzz_text(const struct dns_name *n)
{
	char            text[DNS_NAME_TEXT_MAX];
	struct dns_name back;
	size_t          len = dns_name_to_text(n->octets, n->len, text);

	fuzz_holds(len == strlen(text) && len > 0);
	for (size_t i = 0; i < len; i++)
		fuzz_holds(text[i] > 0x20 && text[i] < 0x7f);
	fuzz_holds(dns_name_from_text(text, &back) == 0);
	fuzz_holds(back.len == n->len && !memcmp(back.octets, n->octets, n->len));
	fuzz_holds(dns_name_len(n->octets) == n->len);
	fuzz_holds(dns_name_below(n->octets, n->len, n->octets, n->len));
}

/* Reads a name with both readers. */
static bool fuzz_read(struct cursor *c, struct dns_name *out)
{
	struct cursor      skip = *c, plain = *c;
	struct oracle_name want;
	size_t             start = c->pos, behind = oracle_name(c->base, c->len, c->pos, &want), plain_len;
	const uint8_t     *name = cursor_plain_name(&plain, &plain_len);

	cursor_name(c, out);
	cursor_skip_name(&skip);
	fuzz_holds(skip.bad == c->bad);
	fuzz_holds(!name == plain.bad);
	if (c->bad) {
		/* the second reader knows no bound on jumps; no name that can be needs so many */
		fuzz_holds(!name);
		return false;
	}
	fuzz_holds(behind == c->pos && skip.pos == c->pos && c->pos <= c->len);
	fuzz_holds(want.len == out->len && !memcmp(want.octets, out->octets, out->len));
	fuzz_holds(!name || (plain_len == out->len && !memcmp(name, out->octets, plain_len)));
	fuzz_holds(name || behind - start != out->len || start == behind);
	return true;
}

static void fuzz_compress(const struct dns_name *qname, struct cursor c)
{
	static struct compress compress;
	size_t                 at = 12 + qname->len + 4u;
	struct dns_name        n;

	memset(reply, 0, 12);
	memcpy(reply + 12, qname->octets, qname->len);
	memset(reply + 12 + qname->len, 0, 4);
	compress_init(&compress, reply, qname->len);
	for (unsigned i = 0; i < 200 && at + 300 < REPLY_MAX && cursor_left(&c) && fuzz_read(&c, &n); i++) {
		enum compress_use  use = (enum compress_use)(i % 3);
		size_t             len = compress_name(&compress, at, &n, use);
		struct oracle_name got, want = { .len = n.len };

		memcpy(want.octets, n.octets, n.len);
		fuzz_holds(oracle_name(reply, at + len, at, &got) == at + len);
		fuzz_holds(use == COMPRESS_OWNER ? oracle_name_equal(&got, &want) :
		                                   got.len == n.len && !memcmp(got.octets, n.octets, n.len));
		fuzz_holds(use != COMPRESS_NOT || len == n.len);
		at += len;
	}
}

static void fuzz_from_text(const uint8_t *data, size_t size)
{
	char           *text = malloc(size + 1);
	struct dns_name n;

	fuzz_holds(text);
	memcpy(text, data, size);
	text[size] = '\0';
	if (dns_name_from_text(text, &n) == 0) {
		fuzz_holds(n.len >= 1 && dns_name_len(n.octets) == n.len);
		fuzz_text(&n);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t         offset = fuzz_take(&data, &size);
	struct cursor   c = cursor_of(data, size, offset);
	struct dns_name n;

	fuzz_from_text(data, size);
	if (size > 65535 || c.bad || !fuzz_read(&c, &n))
		return 0;
	fuzz_text(&n);
	fuzz_compress(&n, c);
	return 0;
}
