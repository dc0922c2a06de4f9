/* name.h - domain names: wire form, comparison, text.
 *
 * A name is its uncompressed wire form (RFC 1035 s. 3.1): labels with a length
 * octet each, ended by the root's zero octet; 1 to 255 octets, labels of 1 to
 * 63.  Any octet may stand in a label (RFC 2181 s. 11); only A-Z and a-z are
 * equal to each other (RFC 4343).
 */
#ifndef LARDER_DNS_NAME_H
#define LARDER_DNS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_MAX   255	/* octets */
#define DNS_LABEL_MAX  63
#define DNS_LABELS_MAX 127
/* The longest text: each octet as \DDD, dots, NUL. */
#define DNS_NAME_TEXT_MAX 1024

struct dns_name {
	uint8_t len;			/* octets, 1 to 255 */
	uint8_t octets[DNS_NAME_MAX];
};

extern const uint8_t dns_fold[256];	/* A-Z to a-z, everything else to itself */

/* Octets of the wire name at n, which has been checked. */
size_t dns_name_len(const uint8_t *n);
bool   dns_name_equal(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len);
/* Is name at or below suffix (on label borders)? */
bool   dns_name_below(const uint8_t *name, size_t name_len, const uint8_t *suffix, size_t suffix_len);
void   dns_name_lower(uint8_t *n, size_t len);		/* label lengths are below 'A', so all octets are folded */
void   dns_name_copy_lower(uint8_t *to, const uint8_t *from, size_t len);

/* Master-file text (RFC 1035 s. 5.1), ASCII only: "www.example.com.", \. and \DDD escapes.
 * Gives the length without NUL. */
size_t dns_name_to_text(const uint8_t *n, size_t len, char out[DNS_NAME_TEXT_MAX]);
/* The final dot may be missing.  0, or -EINVAL: empty label, label or name too long, bad escape. */
int    dns_name_from_text(const char *text, struct dns_name *out);

#endif
