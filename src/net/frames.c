/* frames.c - a stream cut into messages. */
#include "net/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

size_t frames_begin(const struct frames *f, uint8_t *room)
{
	if (f->len)
		memcpy(room, f->held, f->len);
	return f->len;
}

static size_t frames_length(const struct frames_view *v)
{
	return (size_t)v->octets[v->at] << 8 | v->octets[v->at + 1];
}

bool frames_whole(const struct frames_view *v)
{
	size_t rest = v->len - v->at;

	return rest >= 2 && (rest - 2 >= frames_length(v) || frames_length(v) < FRAMES_MESSAGE_MIN);
}

const uint8_t *frames_next(struct frames_view *v, size_t *len)
{
	const uint8_t *message;

	if (!frames_whole(v))
		return NULL;
	*len = frames_length(v);
	message = v->octets + v->at + 2;
	v->at = *len < FRAMES_MESSAGE_MIN ? v->len : v->at + 2 + *len;
	return message;
}

static int frames_grow(struct frames *f, size_t need)
{
	size_t   size = f->size * 2 > need ? f->size * 2 : need;
	uint8_t *held;

	if (need <= f->size)
		return 0;
	held = realloc(f->held, size);
	if (!held)
		return -ENOMEM;
	f->held = held;
	f->size = (uint32_t)size;
	return 0;
}

int frames_end(struct frames *f, const struct frames_view *v)
{
	size_t rest = v->len - v->at;

	if (!rest) {
		frames_done(f);
		return 0;
	}
	if (v->at)
		f->len = 0;	/* what was held has been used */
	if (frames_grow(f, rest) < 0)
		return -ENOMEM;
	/* A message that grows octet by octet is not copied anew for each. */
	memcpy(f->held + f->len, v->octets + v->at + f->len, rest - f->len);
	f->len = (uint32_t)rest;
	return 0;
}

void frames_done(struct frames *f)
{
	free(f->held);
	*f = (struct frames){ 0 };
}
