/* message.h - header, question and OPT of messages (RFC 1035 s. 4.1, RFC 6891).
 *
 * Reads what clients send and writes what they get.  Answers in between are
 * answer.h's.
 */
#ifndef LARDER_DNS_MESSAGE_H
#define LARDER_DNS_MESSAGE_H

#include "dns/name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_HEADER_LEN  12
#define DNS_MESSAGE_MAX 65535
#define DNS_UDP_MIN     512	/* what a client without OPT can take (RFC 1035 s. 4.2.1) */

/* Second 16 bits of the header. */
#define DNS_QR     0x8000
#define DNS_OPCODE 0x7800
#define DNS_AA     0x0400
#define DNS_TC     0x0200
#define DNS_RD     0x0100
#define DNS_RA     0x0080
#define DNS_Z      0x0040
#define DNS_AD     0x0020
#define DNS_CD     0x0010
#define DNS_RCODE  0x000f

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_YXDOMAIN = 6,
	DNS_BADVERS = 16,
};

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_HINFO = 13,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_SIG = 24,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_DNAME = 39,
	DNS_OPT = 41,
	DNS_DS = 43,
	DNS_RRSIG = 46,
	DNS_NSEC = 47,
	DNS_DNSKEY = 48,
	DNS_NSEC3 = 50,
	DNS_SVCB = 64,
	DNS_HTTPS = 65,
	DNS_NXNAME = 128,
	DNS_TKEY = 249,
	DNS_TSIG = 250,
	DNS_IXFR = 251,
	DNS_AXFR = 252,
	DNS_MAILB = 253,
	DNS_MAILA = 254,
	DNS_ANY = 255,
};

enum dns_class { DNS_IN = 1, DNS_CH = 3 };

enum dns_option { DNS_OPTION_KEEPALIVE = 11, DNS_OPTION_PADDING = 12, DNS_OPTION_EDE = 15 };

/* Extended errors (RFC 8914 s. 4); DNS_EDE_NONE is ours. */
enum dns_ede {
	DNS_EDE_OTHER = 0,
	DNS_EDE_STALE = 3,
	DNS_EDE_CACHED_ERROR = 13,
	DNS_EDE_PROHIBITED = 18,
	DNS_EDE_STALE_NXDOMAIN = 19,
	DNS_EDE_NOT_AUTHORITATIVE = 20,
	DNS_EDE_NOT_SUPPORTED = 21,
	DNS_EDE_NO_REACHABLE_AUTHORITY = 22,
	DNS_EDE_NETWORK_ERROR = 23,
	DNS_EDE_INVALID_QUERY_TYPE = 30,
	DNS_EDE_NONE = 0x10000,		/* beyond all codes: there is none */
};

/* A client's query, as far as it could be read. */
struct dns_query {
	const uint8_t *question;	/* borrowed: the question's octets as they came; NULL: unreadable */
	uint16_t id;
	uint16_t flags;			/* second 16 bits of the header */
	uint16_t qtype, qclass;
	uint16_t question_len;		/* octets of qname, type and class; 0 without question */
	uint16_t udp_size;		/* what the client can take over UDP, 512 or more */
	uint32_t ede;			/* DNS_EDE_NONE, or why it is refused */
	bool     has_opt;
	bool     dnssec_ok;		/* DO (RFC 3225) */
	bool     keepalive;		/* asked for edns-tcp-keepalive (RFC 7828), on a stream */
	uint8_t  qname_len;
	uint8_t  qname[DNS_NAME_MAX + 1];	/* lower case */
};

#define DNS_QUERY_SILENCE (-1)

/* Reads a client's message.  Gives DNS_NOERROR when it is a question to be answered, the rcode it
 * must be answered with when it is not (see conformance rows HDR, NAME, EDNS), or DNS_QUERY_SILENCE:
 * under 12 octets, or itself a reply.  q borrows from octets. */
int dns_query_read(const uint8_t *octets, size_t len, bool stream, struct dns_query *q);

/* What a reply to q says beside its records. */
struct dns_reply_head {
	uint16_t rcode;			/* 0 to 4095; over 15 needs the client's OPT */
	uint16_t flags;			/* AA, TC, and AD for who asks for it (RFC 6840 s. 5.8), as wanted; everything
					 * else is filled in */
	uint16_t ancount, nscount, arcount;	/* records between question and OPT */
	uint32_t ede;			/* DNS_EDE_NONE, or an extended error; left out when the client sent no OPT */
	uint16_t udp_size;		/* what our OPT offers; a longer query is read all the same */
	uint16_t keepalive_100ms;	/* stated when q->keepalive (RFC 7828 s. 3.3.2) */
	const char *ede_text;		/* borrowed; NULL: none.  At most DNS_EDE_TEXT_MAX octets are sent */
};

#define DNS_EDE_TEXT_MAX 64

/* Octets of the OPT record that a reply to q with head's extended error will carry. */
size_t dns_reply_opt_len(const struct dns_query *q, const struct dns_reply_head *head);
/* Octets before the records: header and question. */
static inline size_t dns_reply_head_len(const struct dns_query *q)
{
	return DNS_HEADER_LEN + (size_t)q->question_len;
}
/* Writes header and question around records that stand, or will stand, at dns_reply_head_len(),
 * and the OPT behind them at len.  There must be room.  Gives the whole length. */
size_t dns_reply_finish(uint8_t *out, size_t len, const struct dns_query *q,
                        const struct dns_reply_head *head);

#endif
