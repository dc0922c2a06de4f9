/* fuzz_query.c - any octets as a client's message.
 *
 * The first octet says how it came and what the reply will say beside its
 * rcode; the rest is the message.  Whatever the verdict, the reply can be read,
 * says what was asked, and is hardly longer than the query.  What larder
 * answers by itself can be read, too.
 */
#include "dns/message.h"
#include "policy/policy.h"

#include "../unit/oracle.h"
#include "fuzz.h"

static struct policy *policy;

static void fuzz_setup(void)
{
	static struct route_conf        routes[] = {
		{ .suffix = "", .suffix_len = 1 },
		{ .suffix = "\4home\4arpa", .suffix_len = 11 },
	};
	static char                     version[] = "fuzz";
	static const struct policy_conf conf = {
		.local_names = true, .routes = routes, .route_count = 2, .identity_version = version,
	};

	if (!policy)
		policy = policy_new(&conf);
	fuzz_holds(policy);
}

static void fuzz_check_reply(const struct dns_query *q, const struct dns_reply_head *head, const uint8_t *reply,
                             size_t len)
{
	const struct oracle_record *opt;
	struct oracle               o;

	fuzz_holds(oracle_read(&o, reply, len));
	fuzz_holds(o.end == len);
	fuzz_holds(o.id == q->id);
	fuzz_holds((o.flags & (DNS_QR | DNS_RA | DNS_Z)) == (DNS_QR | DNS_RA));
	fuzz_holds((o.flags & (DNS_RD | DNS_CD | DNS_OPCODE)) == (q->flags & (DNS_RD | DNS_CD | DNS_OPCODE)));
	fuzz_holds(o.counts[0] == (q->question ? 1 : 0));
	if (q->question)
		fuzz_holds(!memcmp(reply + DNS_HEADER_LEN, q->question, q->question_len));
	opt = oracle_find(&o, 3, DNS_OPT);
	fuzz_holds(!opt == !q->has_opt);
	fuzz_holds(oracle_count(&o, 0, DNS_OPT) == (q->has_opt ? 1 : 0));
	if (opt)
		fuzz_holds(opt->owner.len == 1 && ((opt->ttl >> 24 << 4) | (o.flags & DNS_RCODE)) == head->rcode &&
		           (opt->ttl & 0xffffff) == (q->dnssec_ok ? 0x8000 : 0));
	oracle_done(&o);
}

static void fuzz_error(const struct dns_query *q, uint16_t rcode, uint8_t how, size_t size)
{
	struct dns_reply_head head = {
		.rcode = rcode, .ede = how & 2 ? q->ede : 22, .keepalive_100ms = 100,
		.ede_text = how & 4 ? "why it could not be" : NULL,
	};
	size_t   max = dns_reply_head_len(q) + dns_reply_opt_len(q, &head);
	uint8_t *reply = malloc(max);

	fuzz_holds(reply && dns_reply_finish(reply, dns_reply_head_len(q), q, &head) == max);
	fuzz_holds(max <= size + 11 + 12 + DNS_EDE_TEXT_MAX);
	fuzz_check_reply(q, &head, reply, max);
	free(reply);
}

static void fuzz_decide(const struct dns_query *q, bool stream)
{
	size_t                at = dns_reply_head_len(q), len, route = policy_route(policy, q->qname, q->qname_len);
	uint8_t              *reply = malloc(at + POLICY_ROOM + 200);
	struct dns_reply_head head;

	fuzz_holds(reply && route < 2);
	if (policy_decide(policy, q, route, stream, reply + at, &head, &len) == POLICY_ANSWERED) {
		fuzz_holds(len <= POLICY_ROOM);
		fuzz_check_reply(q, &head, reply, dns_reply_finish(reply, at + len, q, &head));
	}
	free(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t          how = fuzz_take(&data, &size);
	bool             stream = how & 1;
	struct dns_query q;
	int              verdict = dns_query_read(data, size, stream, &q);

	fuzz_setup();
	if (verdict == DNS_QUERY_SILENCE) {
		fuzz_holds(size < DNS_HEADER_LEN || data[2] & 0x80);
		return 0;
	}
	fuzz_holds(verdict >= 0 && (verdict <= DNS_REFUSED || verdict == DNS_BADVERS));
	fuzz_holds(verdict != DNS_NOERROR || q.question);
	fuzz_holds(q.udp_size >= DNS_UDP_MIN);
	if (q.question) {
		fuzz_holds(q.question == data + DNS_HEADER_LEN && q.question_len == q.qname_len + 4);
		fuzz_holds(dns_name_len(q.qname) == q.qname_len);
	}
	fuzz_error(&q, (uint16_t)verdict, how, size);
	if (verdict == DNS_NOERROR)
		fuzz_decide(&q, stream);
	return 0;
}
