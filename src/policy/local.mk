liblarder_a_SOURCES += \
	src/policy/conf.h \
	src/policy/limits.c src/policy/limits.h \
	src/policy/policy.c src/policy/policy.h \
	src/policy/special.c src/policy/special.h \
	src/policy/suffixes.c src/policy/suffixes.h
EXTRA_DIST += src/policy/README.md
