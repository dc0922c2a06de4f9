liblarder_a_SOURCES += \
	src/conf/build.c src/conf/build.h src/conf/build_state.h \
	src/conf/build_peer.c \
	src/conf/build_route.c \
	src/conf/build_upstream.c \
	src/conf/conf.h \
	src/conf/dump.c \
	src/conf/events.c src/conf/events.h \
	src/conf/file.c src/conf/file.h \
	src/conf/load.c src/conf/load.h \
	src/conf/parse.c src/conf/parse.h \
	src/conf/report.c src/conf/report.h \
	src/conf/resolv.c src/conf/resolv.h \
	src/conf/schema.c \
	src/conf/settings.c src/conf/settings.h \
	src/conf/suggest.c src/conf/suggest.h \
	src/conf/table.c src/conf/table.h \
	src/conf/url.c src/conf/url.h \
	src/conf/value.c src/conf/value.h
EXTRA_DIST += src/conf/README.md
