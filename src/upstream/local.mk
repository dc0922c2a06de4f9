liblarder_a_SOURCES += \
	src/upstream/conf.h \
	src/upstream/exchange.c src/upstream/exchange.h \
	src/upstream/upstream.c src/upstream/upstream.h
EXTRA_DIST += src/upstream/README.md
