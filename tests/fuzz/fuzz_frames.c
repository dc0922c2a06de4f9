/* fuzz_frames.c - a stream cut into messages, however it arrives.
 *
 * The first octet says how large the pieces are; the rest is the stream.  The
 * messages are those that a reader of the whole stream would find.
 */
#include "net/frames.h"

#include "fuzz.h"

static uint8_t room[FRAMES_ROOM];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t      dice = fuzz_take(&data, &size);
	size_t        most = 1u << dice % 15, next = 0, at = 0;	/* next: where the next message's length stands */
	struct frames f = { 0 };
	bool          over = false;

	while (at < size && !over) {
		size_t             n, held = frames_begin(&f, room), len;
		struct frames_view v;
		const uint8_t     *m;

		dice = dice * 1103515245 + 12345;
		n = 1 + (dice >> 16) % most;
		n = n < size - at ? n : size - at;
		n = n < FRAMES_READ ? n : FRAMES_READ;
		fuzz_holds(held == at - next);			/* no more and no less than what is due */
		memcpy(room + held, data + at, n);
		at += n;
		v = (struct frames_view){ room, held + n, 0 };
		for (;;) {
			bool whole = frames_whole(&v);
			size_t want;

			m = frames_next(&v, &len);
			fuzz_holds(whole == (m != NULL));
			if (!m)
				break;
			fuzz_holds(next + 2 <= at);
			want = (size_t)data[next] << 8 | data[next + 1];
			fuzz_holds(len == want);
			if (len < FRAMES_MESSAGE_MIN) {		/* nothing behind it can be trusted */
				over = true;
				fuzz_holds(!frames_next(&v, &len));
				break;
			}
			fuzz_holds(next + 2 + len <= at && !memcmp(m, data + next + 2, len));
			next += 2 + len;
		}
		if (!over && next + 2 <= at) {			/* what is left is not whole */
			size_t want = (size_t)data[next] << 8 | data[next + 1];

			fuzz_holds(want >= FRAMES_MESSAGE_MIN && next + 2 + want > at);
		}
		fuzz_holds(frames_end(&f, &v) == 0);
		fuzz_holds(!over || !f.held);
		fuzz_holds(f.size <= 2 * FRAMES_ROOM && (f.len == 0) == (f.held == NULL));
	}
	frames_done(&f);
	return 0;
}
