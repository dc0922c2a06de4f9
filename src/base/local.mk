liblarder_a_SOURCES += \
	src/base/addr.c src/base/addr.h \
	src/base/clock.c src/base/clock.h \
	src/base/keep.c src/base/keep.h \
	src/base/list.h \
	src/base/log.c src/base/log.h \
	src/base/ring.c src/base/ring.h \
	src/base/rng.c src/base/rng.h \
	src/base/siphash.c src/base/siphash.h \
	src/base/timer.c src/base/timer.h \
	src/base/varlink.c src/base/varlink.h
EXTRA_DIST += src/base/README.md
