/* interfaces.h - the interfaces that the control socket has, as text.
 *
 * The texts are the *.varlink files of this folder; the build turns them into
 * interfaces.c.
 */
#ifndef LARDER_CONTROL_INTERFACES_H
#define LARDER_CONTROL_INTERFACES_H

struct control_interface {
	const char *name;		/* "io.larder" */
	const char *description;
};

extern const struct control_interface control_interfaces[];	/* ends with a NULL name */

#endif
