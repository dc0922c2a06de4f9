/* resolv.c - upstreams for a host that configured none: those that DHCP or
 * somebody else wrote into a resolv.conf.
 *
 * On a host that uses larder, its own address stands in that file, and asking
 * it would send each question round in circles; so whatever leads back here is
 * left out.  systemd-resolved's stub is left out too: it may well forward here.
 */
#include "conf/resolv.h"

#include "conf/file.h"

#include <errno.h>
#include <ifaddrs.h>
#include <string.h>
#include <unistd.h>

#define RESOLV_PORT       53
#define RESOLV_OCTETS_MAX 65536

static const char *const resolv_usual[] = {
	"/run/systemd/resolve/resolv.conf",
	"/run/NetworkManager/no-stub-resolv.conf",
	"/etc/resolv.conf",
};
#define RESOLV_USUAL_COUNT (sizeof resolv_usual / sizeof *resolv_usual)

/* Without the list of interfaces only loopback is known to be ours. */
static bool own_is_local(const struct addr *a)
{
	struct ifaddrs *list, *i;
	bool            local = addr_is_loopback(a);

	if (local || getifaddrs(&list) < 0)
		return local;
	for (i = list; i && !local; i = i->ifa_next) {
		struct addr other = { 0 };

		if (!i->ifa_addr || i->ifa_addr->sa_family != a->sa.sa_family)
			continue;
		if (a->sa.sa_family != AF_INET && a->sa.sa_family != AF_INET6)
			continue;
		memcpy(&other, i->ifa_addr, addr_len(a));
		local = addr_equal_host(&other, a);
	}
	freeifaddrs(list);
	return local;
}

bool conf_own_has(const struct conf_own *own, const struct addr *a)
{
	bool wildcard = false;

	for (size_t i = 0; i < own->count; i++) {
		const struct addr *l = &own->listen[i];

		if (addr_port(l) != addr_port(a) || l->sa.sa_family != a->sa.sa_family)
			continue;
		if (addr_equal_host(l, a))
			return true;
		wildcard |= addr_is_wildcard(l);
	}
	return wildcard && own_is_local(a);
}

const char *conf_resolv_file(const char *path)
{
	for (size_t i = 0; i < RESOLV_USUAL_COUNT && !path; i++)
		if (access(resolv_usual[i], F_OK) == 0)
			path = resolv_usual[i];
	return path ? path : resolv_usual[RESOLV_USUAL_COUNT - 1];
}

bool conf_is_stub(const struct addr *a)
{
	uint32_t host = a->sa.sa_family == AF_INET ? ntohl(a->in4.sin_addr.s_addr) : 0;

	return host == 0x7f000035 || host == 0x7f000036;	/* 127.0.0.53, 127.0.0.54 */
}

/* The word after "nameserver", which begins the line as glibc wants it; its length, or 0. */
static size_t resolv_word(const char *line, size_t len, size_t *start)
{
	static const char keyword[] = "nameserver";
	size_t            at = sizeof keyword - 1, end;

	if (len <= at || memcmp(line, keyword, at) || (line[at] != ' ' && line[at] != '\t'))
		return 0;
	while (at < len && (line[at] == ' ' || line[at] == '\t'))
		at++;
	for (end = at; end < len && !strchr(" \t\r#;", line[end]); end++)
		;
	*start = at;
	return end - at;
}

static void resolv_line(const char *line, size_t len, const struct conf_own *own,
                        struct conf_report *report, struct conf_mark *at, struct addr *servers,
                        size_t *count, struct conf_mark *marks)
{
	char        word[ADDR_TEXT_MAX];
	size_t      start, n = resolv_word(line, len, &start);
	struct addr a;

	if (!n || *count == CONF_RESOLV_MAX)
		return;
	at->column = (uint32_t)start + 1;
	at->width = (uint32_t)n;
	if (n >= sizeof word)
		n = sizeof word - 1;
	memcpy(word, line + start, n);
	word[n] = '\0';
	if (addr_parse(word, RESOLV_PORT, &a) < 0 || addr_port(&a) != RESOLV_PORT) {
		conf_report_add(report, CONF_WARNING, at, "\"%s\" is not an address; left out",
				word);
		return;
	}
	if (addr_is_wildcard(&a) || conf_is_stub(&a) || conf_own_has(own, &a))
		return;
	for (size_t i = 0; i < *count; i++)
		if (addr_equal(&servers[i], &a))
			return;
	servers[*count] = a;
	marks[(*count)++] = *at;
}

size_t conf_resolv_read(const char *file, const struct conf_own *own, struct conf_report *report,
                        struct addr servers[CONF_RESOLV_MAX],
                        struct conf_mark marks[CONF_RESOLV_MAX])
{
	size_t           len = 0, count = 0;
	char            *text = NULL;
	struct conf_mark at = { 0 };
	int              err;

	err = conf_file_read(file, RESOLV_OCTETS_MAX, CONF_FILE_REGULAR, &text, &len);
	at.source = conf_report_source(report, CONF_SOURCE_FILE, file, text, len);
	report->no_memory |= err == -ENOMEM;
	if (report->no_memory)
		return 0;
	if (err < 0)
		conf_report_add(report, CONF_WARNING, &at, "%s; there are no upstreams",
				strerror(-err));
	for (const char *p = text; p && p < text + len;) {
		const char *end = memchr(p, '\n', (size_t)(text + len - p));

		if (!end)
			end = text + len;
		at.line++;
		resolv_line(p, (size_t)(end - p), own, report, &at, servers, &count, marks);
		p = end + 1;
	}
	at.line = 0;
	if (!count && !err)
		conf_report_add(report, CONF_WARNING, &at,
				"no name server to use; there are no upstreams");
	return count;
}
