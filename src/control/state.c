/* state.c - what is said of an upstream in one word. */
#include "control/state.h"

#include "upstream/health.h"

const char *const control_state_names[CONTROL_STATES] = {
	[CONTROL_STATE_GOOD] = "good",
	[CONTROL_STATE_SUSPECT] = "suspect",
	[CONTROL_STATE_OPEN] = "open",
	[CONTROL_STATE_UP] = "up",
	[CONTROL_STATE_DOWN] = "down",
};

static enum control_state control_state_found(enum health_state found)
{
	switch (found) {
	case HEALTH_GOOD:
		return CONTROL_STATE_GOOD;
	case HEALTH_SUSPECT:
		return CONTROL_STATE_SUSPECT;
	case HEALTH_OPEN:
		break;
	}
	return CONTROL_STATE_OPEN;
}

enum control_state control_state_of(const struct health_view *h)
{
	switch (h->order) {
	case HEALTH_UP:
		return CONTROL_STATE_UP;
	case HEALTH_DOWN:
		return CONTROL_STATE_DOWN;
	case HEALTH_AUTO:
		break;
	}
	return control_state_found(h->own_state);
}
