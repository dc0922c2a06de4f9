liblarder_a_SOURCES += \
	src/stats/histogram.c src/stats/histogram.h \
	src/stats/recent.c src/stats/recent.h \
	src/stats/stats.c src/stats/stats.h
EXTRA_DIST += src/stats/README.md
