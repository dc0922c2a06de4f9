/* state.h - what is said of an upstream in one word: the operator's, or what larder found. */
#ifndef LARDER_CONTROL_STATE_H
#define LARDER_CONTROL_STATE_H

struct health_view;

enum control_state {
	CONTROL_STATE_GOOD,
	CONTROL_STATE_SUSPECT,
	CONTROL_STATE_OPEN,
	CONTROL_STATE_UP,	/* by order, whatever larder finds */
	CONTROL_STATE_DOWN,	/* by order */
	CONTROL_STATES
};

extern const char *const control_state_names[CONTROL_STATES];

enum control_state control_state_of(const struct health_view *h);

#endif
