liblarder_a_SOURCES += \
	src/resolve/chase.c \
	src/resolve/client.c \
	src/resolve/course.c src/resolve/course.h \
	src/resolve/event.c src/resolve/event.h \
	src/resolve/flight.c src/resolve/flight.h \
	src/resolve/flight_state.h \
	src/resolve/park.c \
	src/resolve/refresh.c src/resolve/refresh.h \
	src/resolve/send.c \
	src/resolve/resolver.c src/resolve/resolver.h \
	src/resolve/resolver_state.h \
	src/resolve/setup.c src/resolve/setup.h \
	src/resolve/slow.c src/resolve/slow.h \
	src/resolve/stale.c \
	src/resolve/trace.c src/resolve/trace.h
EXTRA_DIST += src/resolve/README.md
