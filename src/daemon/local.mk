liblarder_a_SOURCES += \
	src/daemon/activation.c src/daemon/activation.h \
	src/daemon/addresses.c src/daemon/addresses.h \
	src/daemon/answers.c \
	src/daemon/bootstrap.c src/daemon/bootstrap.h \
	src/daemon/daemon.c src/daemon/daemon.h src/daemon/daemon_state.h \
	src/daemon/events.c src/daemon/events.h \
	src/daemon/journal.c src/daemon/journal.h \
	src/daemon/listening.c \
	src/daemon/netwatch.c src/daemon/netwatch.h \
	src/daemon/query_log.c src/daemon/query_log.h \
	src/daemon/service.c src/daemon/service.h \
	src/daemon/sockets.c src/daemon/sockets.h \
	src/daemon/tickets.c src/daemon/tickets.h \
	src/daemon/traces.c src/daemon/traces.h \
	src/daemon/user.c \
	src/daemon/worker.c src/daemon/worker.h
sbin_PROGRAMS += larderd
larderd_SOURCES = src/daemon/main.c
larderd_LDADD = liblarder.a $(LARDER_LIBS)
EXTRA_DIST += src/daemon/README.md
