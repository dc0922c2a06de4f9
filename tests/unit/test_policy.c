/* test_policy.c - who may ask, which route a name takes, and what is answered here.
 * Rows NAME-07, NAME-08, NAME-18, HDR-21, FLAG-01, FLAG-02, ANY-01, SPLIT-01. */
#include "unit.h"

#include "alloc_fail.h"
#include "draft.h"
#include "guard.h"
#include "oracle.h"
#include "policy/policy.h"

#define ROUTES_MAX 40

static struct draft draft;

/* ---- a policy from texts ---- */

struct desk {
	struct policy_conf conf;
	struct addr_prefix allow[8];
	struct route_conf  routes[ROUTES_MAX];
};

static void desk_init(struct desk *d)
{
	memset(d, 0, sizeof *d);
	d->conf.allow = d->allow;
	d->conf.routes = d->routes;
	d->conf.route_count = 1;
	d->routes[0].suffix_len = 1;
}

static void desk_allow(struct desk *d, const char *prefix)
{
	assert_int_equal(addr_prefix_parse(prefix, &d->allow[d->conf.allow_count++]), 0);
}

static void desk_route(struct desk *d, const char *suffix)
{
	struct route_conf *r = &d->routes[d->conf.route_count++];
	struct dns_name    n;

	assert_int_equal(dns_name_from_text(suffix, &n), 0);
	dns_name_lower(n.octets, n.len);
	memcpy(r->suffix, n.octets, n.len);
	r->suffix_len = n.len;
}

static size_t route_of(const struct policy *p, const char *text)
{
	struct dns_name n;

	assert_int_equal(dns_name_from_text(text, &n), 0);
	dns_name_lower(n.octets, n.len);
	return policy_route(p, n.octets, n.len);
}

/* ---- */

static void test_allow(void **state)
{
	static const struct {
		const char *from;
		bool        may;
	} rows[] = {
		{ "127.0.0.1", true },        { "127.9.9.9:1", true }, { "::1", true },         { "::2", false },
		{ "192.0.2.255", true },      { "192.0.3.0", false },  { "2001:db8::1", true }, { "2001:db9::1", false },
		{ "::ffff:192.0.2.1", true }, { "::ffff:192.0.3.1", false },
	};
	struct desk    d;
	struct policy *p;

	(void)state;
	desk_init(&d);
	p = policy_new(&d.conf);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct addr a;

		assert_int_equal(addr_parse(rows[i].from, 53, &a), 0);
		assert_false(policy_allows(p, &a));		/* nobody, as long as nobody is named */
	}
	policy_free(p);
	desk_allow(&d, "127.0.0.0/8");
	desk_allow(&d, "::1");
	desk_allow(&d, "192.0.2.0/24");
	desk_allow(&d, "2001:db8::/32");
	p = policy_new(&d.conf);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct addr a;

		assert_int_equal(addr_parse(rows[i].from, 53, &a), 0);
		assert_int_equal(policy_allows(p, &a), rows[i].may);
	}
	policy_free(p);
}

static void test_routes(void **state)
{
	struct desk    d;
	struct policy *p;

	(void)state;
	desk_init(&d);
	p = policy_new(&d.conf);
	assert_int_equal(route_of(p, "corp.example."), 0);
	policy_free(p);
	desk_route(&d, "corp.example.");
	desk_route(&d, "Lab.corp.example.");
	desk_route(&d, "org.");
	p = policy_new(&d.conf);
	assert_int_equal(route_of(p, "."), 0);
	assert_int_equal(route_of(p, "example."), 0);
	assert_int_equal(route_of(p, "corp.example."), 1);
	assert_int_equal(route_of(p, "a.CORP.example."), 1);
	assert_int_equal(route_of(p, "xcorp.example."), 0);		/* borders of labels */
	assert_int_equal(route_of(p, "a\\.corp.example."), 0);		/* NAME-07 */
	assert_int_equal(route_of(p, "\\004corp\\007example."), 0);
	assert_int_equal(route_of(p, "lab.corp.example."), 2);
	assert_int_equal(route_of(p, "x.y.lab.corp.example."), 2);
	assert_int_equal(route_of(p, "xlab.corp.example."), 1);
	assert_int_equal(route_of(p, "org."), 3);
	assert_int_equal(route_of(p, "corp.example.org."), 3);
	policy_free(p);
}

/* The longest suffix of many, against a search through all of them. */
static void test_routes_random(void **state)
{
	static const char *const labels[] = { "a", "b", "ab", "ba", "c" };

	(void)state;
	for (struct dice d = dice_first(300); d.left; dice_next(&d)) {
		struct desk    desk;
		struct policy *p;
		char           text[64];

		desk_init(&desk);
		while (desk.conf.route_count < ROUTES_MAX && dice_below(&d, 30)) {
			bool known = false;

			*text = '\0';
			for (uint64_t n = 1 + dice_below(&d, 4); n; n--) {
				strcat(text, labels[dice_below(&d, COUNT_OF(labels))]);
				strcat(text, ".");
			}
			desk_route(&desk, text);
			for (size_t i = 1; i + 1 < desk.conf.route_count; i++)
				known |= desk.routes[i].suffix_len == desk.routes[desk.conf.route_count - 1].suffix_len &&
				         !memcmp(desk.routes[i].suffix, desk.routes[desk.conf.route_count - 1].suffix,
				                 desk.routes[i].suffix_len);
			desk.conf.route_count -= known;		/* each once */
		}
		p = policy_new(&desk.conf);
		for (unsigned i = 0; i < 100; i++) {
			struct dns_name n;
			size_t          best = 0, best_len = 1;

			*text = '\0';
			for (uint64_t k = dice_below(&d, 7); k; k--) {
				strcat(text, labels[dice_below(&d, COUNT_OF(labels))]);
				strcat(text, ".");
			}
			assert_int_equal(dns_name_from_text(*text ? text : ".", &n), 0);
			for (size_t r = 1; r < desk.conf.route_count; r++)
				if (desk.routes[r].suffix_len > best_len &&
				    dns_name_below(n.octets, n.len, desk.routes[r].suffix, desk.routes[r].suffix_len)) {
					best = r;
					best_len = desk.routes[r].suffix_len;
				}
			holds(&d, policy_route(p, n.octets, n.len) == best);
		}
		policy_free(p);
	}
}

/* ---- answers of our own ---- */

struct said {
	enum policy_verdict   verdict;
	struct dns_query      q;
	struct dns_reply_head head;
	struct oracle         o;
	uint8_t               octets[DNS_HEADER_LEN + DNS_NAME_MAX + 4 + POLICY_ROOM + 11];
};

static struct said said;

/* Asks; what is answered can be read as a whole reply. */
static struct said *ask_class(const struct policy *p, const char *name, uint16_t qtype, uint16_t qclass,
                              uint16_t flags, bool dnssec_ok, bool stream)
{
	struct guard g;
	size_t       len, at;
	uint8_t     *out;

	oracle_done(&said.o);
	memset(&said, 0, sizeof said);
	draft_begin(&draft, 1, flags);
	draft_question(&draft, name, qtype, qclass);
	draft_opt(&draft, 1232, dnssec_ok ? 0x8000 : 0, NULL, 0);
	assert_int_equal(dns_query_read(draft.octets, draft.len, stream, &said.q), DNS_NOERROR);
	at = dns_reply_head_len(&said.q);
	guard_init(&g, POLICY_ROOM);
	out = guard_room(&g, POLICY_ROOM);		/* no more than that is written */
	said.verdict = policy_decide(p, &said.q, policy_route(p, said.q.qname, said.q.qname_len), stream, out,
	                             &said.head, &len);
	assert_true(len <= POLICY_ROOM);
	memcpy(said.octets + at, out, len);
	guard_done(&g);
	if (said.verdict == POLICY_ANSWERED) {
		assert_true(oracle_read(&said.o, said.octets, dns_reply_finish(said.octets, at + len, &said.q, &said.head)));
		assert_int_equal(said.o.end, at + len + 11);
	}
	return &said;
}

static struct said *ask(const struct policy *p, const char *name, uint16_t qtype)
{
	return ask_class(p, name, qtype, DNS_IN, DNS_RD, false, false);
}

/* NAME-18. */
static void test_identity(void **state)
{
	static const char *const versions[] = { "version.bind.", "Version.Server." };
	static const char *const hosts[] = { "hostname.bind.", "ID.server." };
	char                     long_text[400], version[] = "larder", host[] = "h";
	struct desk              d;
	struct policy           *p;

	(void)state;
	desk_init(&d);
	p = policy_new(&d.conf);
	for (unsigned i = 0; i < 2; i++) {		/* not configured */
		assert_int_equal(ask_class(p, versions[i], DNS_TXT, DNS_CH, DNS_RD, false, false)->verdict, POLICY_REFUSED);
		assert_int_equal(said.head.ede, DNS_EDE_NOT_SUPPORTED);
		assert_int_equal(ask_class(p, hosts[i], DNS_TXT, DNS_CH, DNS_RD, false, false)->verdict, POLICY_REFUSED);
	}
	d.conf.identity_version = version;
	d.conf.identity_hostname = host;
	for (unsigned rd = 0; rd < 2; rd++)
		for (unsigned i = 0; i < 4; i++) {
			const char *text = i < 2 ? "larder" : "h";

			ask_class(p, i < 2 ? versions[i] : hosts[i - 2], DNS_TXT, DNS_CH, rd ? DNS_RD : 0, false, false);
			assert_int_equal(said.verdict, POLICY_ANSWERED);
			assert_true(said.o.flags & DNS_AA);
			assert_int_equal(said.o.counts[1], 1);
			assert_int_equal(said.o.records[0].class, DNS_CH);
			assert_int_equal(said.o.records[0].ttl, 0);
			assert_int_equal(said.octets[said.o.records[0].rdata_at], strlen(text));
			assert_memory_equal(said.octets + said.o.records[0].rdata_at + 1, text, strlen(text));
		}
	assert_int_equal(ask_class(p, "version.bind.", DNS_A, DNS_CH, DNS_RD, false, false)->verdict, POLICY_REFUSED);
	assert_int_equal(ask_class(p, "x.bind.", DNS_TXT, DNS_CH, DNS_RD, false, false)->verdict, POLICY_REFUSED);
	assert_int_equal(ask_class(p, "example.", DNS_TXT, DNS_CH, DNS_RD, false, false)->verdict, POLICY_REFUSED);
	assert_int_equal(ask(p, "version.bind.", DNS_TXT)->verdict, POLICY_FORWARD);	/* of class IN a name like any */
	memset(long_text, 'x', sizeof long_text - 1);
	long_text[sizeof long_text - 1] = '\0';
	d.conf.identity_version = long_text;
	ask_class(p, "version.bind.", DNS_TXT, DNS_CH, DNS_RD, false, false);
	assert_int_equal(said.o.records[0].rdata_len, 256);
	policy_free(p);
}

/* FLAG-01: without RD nothing is looked up for anybody. */
static void test_without_rd(void **state)
{
	struct desk    d;
	struct policy *p;

	(void)state;
	desk_init(&d);
	d.conf.local_names = true;
	p = policy_new(&d.conf);
	assert_int_equal(ask_class(p, "www.example.", DNS_A, DNS_IN, 0, false, false)->verdict, POLICY_REFUSED);
	assert_int_equal(said.head.ede, DNS_EDE_NOT_AUTHORITATIVE);
	assert_int_equal(ask_class(p, "localhost.", DNS_A, DNS_IN, 0, false, false)->verdict, POLICY_ANSWERED);
	assert_int_equal(ask_class(p, "www.example.", DNS_ANY, DNS_IN, 0, false, false)->verdict, POLICY_REFUSED);
	policy_free(p);
}

/* ANY-01. */
static void test_any(void **state)
{
	struct desk    d;
	struct policy *p;

	(void)state;
	desk_init(&d);
	p = policy_new(&d.conf);
	for (unsigned stream = 0; stream < 2; stream++) {
		ask_class(p, "www.example.", DNS_ANY, DNS_IN, DNS_RD, false, stream);
		assert_int_equal(said.verdict, POLICY_ANSWERED);
		assert_int_equal(said.o.counts[1], 1);
		assert_int_equal(said.o.records[0].type, DNS_HINFO);
		assert_int_equal(said.o.records[0].ttl, 3600);
		assert_int_equal(said.o.records[0].rdata_len, 9);
		assert_memory_equal(said.octets + said.o.records[0].rdata_at, "\7RFC8482", 9);
		assert_false(said.o.flags & (DNS_TC | DNS_AA));
	}
	ask_class(p, "www.example.", DNS_ANY, DNS_IN, DNS_RD, true, false);
	assert_int_equal(said.verdict, POLICY_ANSWERED);
	assert_true(said.o.flags & DNS_TC);
	assert_int_equal(said.o.counts[1] + said.o.counts[2], 0);
	assert_int_equal(ask_class(p, "www.example.", DNS_ANY, DNS_IN, DNS_RD, true, true)->verdict, POLICY_FORWARD);
	policy_free(p);
}

/* Section 17: a route of the operator's wins over a special name, and they can be switched off. */
static void test_special_or_route(void **state)
{
	struct desk    d;
	struct policy *p;

	(void)state;
	desk_init(&d);
	p = policy_new(&d.conf);
	assert_int_equal(ask(p, "a.test.", DNS_A)->verdict, POLICY_FORWARD);
	policy_free(p);
	d.conf.local_names = true;
	desk_route(&d, "lab.test.");
	desk_route(&d, "10.in-addr.arpa.");
	p = policy_new(&d.conf);
	assert_int_equal(ask(p, "a.test.", DNS_A)->verdict, POLICY_ANSWERED);
	assert_int_equal(said.head.rcode, DNS_NXDOMAIN);
	assert_int_equal(ask(p, "a.lab.test.", DNS_A)->verdict, POLICY_FORWARD);
	assert_int_equal(ask(p, "1.2.3.10.in-addr.arpa.", DNS_PTR)->verdict, POLICY_FORWARD);
	assert_int_equal(ask(p, "1.2.168.192.in-addr.arpa.", DNS_PTR)->verdict, POLICY_ANSWERED);
	policy_free(p);
}

static bool run_new(void *arg)
{
	struct policy *p = policy_new(arg);

	policy_free(p);
	return p;
}

static void test_no_memory(void **state)
{
	struct desk d;

	(void)state;
	desk_init(&d);
	assert_int_equal(alloc_fail_each(run_new, &d.conf), 1);
	desk_route(&d, "example.");
	d.conf.local_names = true;
	assert_true(alloc_fail_each(run_new, &d.conf) >= 3);
	policy_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allow),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_routes_random),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_without_rd),
		cmocka_unit_test(test_any),
		cmocka_unit_test(test_special_or_route),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
