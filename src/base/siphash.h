/* siphash.h - SipHash-1-3, the keyed hash of every table that strangers fill.
 *
 * Names come from whoever asks, so a table keyed by a plain hash could be
 * driven into long chains by chosen names.  (Aumasson and Bernstein, "SipHash:
 * a fast short-input PRF", with one compression and three final rounds.)
 */
#ifndef LARDER_BASE_SIPHASH_H
#define LARDER_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k0, k1;
};

uint64_t siphash13(const struct siphash_key *key, const uint8_t *octets, size_t len);

#endif
