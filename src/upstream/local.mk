liblarder_a_SOURCES += \
	src/upstream/ask.c src/upstream/ask.h \
	src/upstream/choice.c src/upstream/choice.h \
	src/upstream/conf.h \
	src/upstream/exchange.c src/upstream/exchange.h \
	src/upstream/health.c src/upstream/health.h \
	src/upstream/host.c src/upstream/host.h \
	src/upstream/prober.c src/upstream/prober.h \
	src/upstream/secure.c src/upstream/secure.h \
	src/upstream/upgrade.c src/upstream/upgrade.h \
	src/upstream/upstream.c src/upstream/upstream.h
EXTRA_DIST += src/upstream/README.md
