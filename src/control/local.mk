liblarder_a_SOURCES += \
	src/control/bind.c src/control/bind.h \
	src/control/call.c src/control/call.h \
	src/control/connection.c src/control/connection.h \
	src/control/control.c src/control/control.h \
	src/control/http.c src/control/http.h \
	src/control/http_checkup.c src/control/http_checkup.h \
	src/control/http_doors.c src/control/http_doors.h \
	src/control/http_files.c src/control/http_files.h \
	src/control/http_metrics.c src/control/http_metrics.h \
	src/control/http_pages.c src/control/http_pages.h \
	src/control/http_rules.c src/control/http_rules.h \
	src/control/http_sight.c src/control/http_sight.h \
	src/control/http_status.c src/control/http_status.h \
	src/control/interfaces.h \
	src/control/larder.c \
	src/control/larder_cache.c \
	src/control/larder_latencies.c \
	src/control/larder_monitor.c \
	src/control/larder_route.c \
	src/control/larder_slow.c \
	src/control/larder_trace.c \
	src/control/peer.c src/control/peer.h \
	src/control/records.c src/control/records.h \
	src/control/reply.c src/control/reply.h \
	src/control/reply_health.c \
	src/control/service.c \
	src/control/state.c src/control/state.h
nodist_liblarder_a_SOURCES = src/control/interfaces.c src/control/page_files.c

# The descriptions that GetInterfaceDescription serves, as C strings.
control_interfaces = \
	src/control/org.varlink.service.varlink \
	src/control/io.larder.varlink

src/control/interfaces.c: src/control/embed.awk $(control_interfaces)
	$(AM_V_GEN)$(MKDIR_P) src/control && \
	(cd $(srcdir) && LC_ALL=C $(AWK) -f src/control/embed.awk $(control_interfaces)) > $@.tmp && \
	mv $@.tmp $@

# The status page, likewise.
control_page = \
	src/control/page/index.html \
	src/control/page/page.css \
	src/control/page/page.js \
	src/control/page/figures.js \
	src/control/page/charts.js \
	src/control/page/icon.svg

src/control/page_files.c: src/control/embed_page.awk $(control_page) $(top_srcdir)/configure.ac
	$(AM_V_GEN)$(MKDIR_P) src/control && \
	(cd $(srcdir) && sum=`cat $(control_page) | cksum` && LC_ALL=C $(AWK) -v page="$(PACKAGE_VERSION)-$${sum%% *}" \
		-f src/control/embed_page.awk $(control_page)) > $@.tmp && \
	mv $@.tmp $@

CLEANFILES += src/control/interfaces.c src/control/page_files.c
EXTRA_DIST += src/control/README.md src/control/embed.awk src/control/embed_page.awk \
	$(control_interfaces) $(control_page) src/control/page/README.md
