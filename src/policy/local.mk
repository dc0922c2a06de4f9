liblarder_a_SOURCES += \
	src/policy/conf.h \
	src/policy/policy.c src/policy/policy.h
EXTRA_DIST += src/policy/README.md
