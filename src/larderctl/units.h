/* units.h - numbers as people read them.  All write to buf and give it. */
#ifndef LARDER_LARDERCTL_UNITS_H
#define LARDER_LARDERCTL_UNITS_H

#include <stdbool.h>

#define UNITS_MAX 48

/* "18 µs", "2.1 ms", "1.2 s"; with "us" where UTF-8 is not known */
const char *units_time(long long us, bool utf8, char buf[UNITS_MAX]);
/* "42 s", "3 h 12 min", "5 d 3 h" */
const char *units_age(long long s, char buf[UNITS_MAX]);
/* "512 B", "64.0 MiB" */
const char *units_octets(long long octets, char buf[UNITS_MAX]);
/* "91.2 %" */
const char *units_share(double part, double whole, char buf[UNITS_MAX]);

#endif
