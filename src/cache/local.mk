liblarder_a_SOURCES += \
	src/cache/cache.c src/cache/cache.h \
	src/cache/conf.h \
	src/cache/latch.c src/cache/latch.h \
	src/cache/pool.c src/cache/pool.h \
	src/cache/shard.c src/cache/shard.h
EXTRA_DIST += src/cache/README.md
