/* units.c - two or three figures and a unit say more than seven figures. */
#include "larderctl/units.h"

#include <stdio.h>

const char *units_time(long long us, bool utf8, char buf[UNITS_MAX])
{
	if (us < 1000)
		snprintf(buf, UNITS_MAX, "%lld %ss", us, utf8 ? "µ" : "u");
	else if (us < 9950)
		snprintf(buf, UNITS_MAX, "%.1f ms", (double)us / 1e3);
	else if (us < 999500)
		snprintf(buf, UNITS_MAX, "%.0f ms", (double)us / 1e3);
	else
		snprintf(buf, UNITS_MAX, us < 9950000 ? "%.1f s" : "%.0f s", (double)us / 1e6);
	return buf;
}

const char *units_age(long long s, char buf[UNITS_MAX])
{
	if (s < 60)
		snprintf(buf, UNITS_MAX, "%lld s", s);
	else if (s < 3600)
		snprintf(buf, UNITS_MAX, "%lld min", s / 60);
	else if (s < 86400)
		snprintf(buf, UNITS_MAX, "%lld h %lld min", s / 3600, s / 60 % 60);
	else
		snprintf(buf, UNITS_MAX, "%lld d %lld h", s / 86400, s / 3600 % 24);
	return buf;
}

const char *units_octets(long long octets, char buf[UNITS_MAX])
{
	static const char *const unit[] = { "KiB", "MiB", "GiB", "TiB" };
	double                   v = (double)octets / 1024;
	unsigned                 i = 0;

	if (octets < 1024) {
		snprintf(buf, UNITS_MAX, "%lld B", octets);
		return buf;
	}
	for (; v >= 1023.95 && i + 1 < sizeof unit / sizeof unit[0]; i++)
		v /= 1024;
	snprintf(buf, UNITS_MAX, "%.1f %s", v, unit[i]);
	return buf;
}

const char *units_share(double part, double whole, char buf[UNITS_MAX])
{
	double percent = whole > 0 ? 100 * part / whole : 0;

	if (percent > 0 && percent < 0.1)
		snprintf(buf, UNITS_MAX, "<0.1 %%");
	else
		snprintf(buf, UNITS_MAX, "%.1f %%", percent);
	return buf;
}
