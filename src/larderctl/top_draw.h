/* top_draw.h - the screen of "larderctl top", from samples to a canvas.
 *
 * A pure function: no terminal, no clock, no daemon.
 */
#ifndef LARDER_LARDERCTL_TOP_DRAW_H
#define LARDER_LARDERCTL_TOP_DRAW_H

struct canvas;
struct top_sample;

struct top_scene {
	const struct top_sample *now;		/* NULL: nothing is known yet */
	const struct top_sample *before;	/* the one before; NULL: none of this run of larderd */
	const struct top_sample *minute;	/* a minute old, or the oldest there is; NULL as before */
	const char              *notice;	/* why nothing newer is known; NULL: it is */
	unsigned                 interval_ms;
};

void top_draw(const struct top_scene *scene, struct canvas *c);

#endif
