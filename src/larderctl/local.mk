bin_PROGRAMS += larderctl
larderctl_SOURCES = \
	src/larderctl/canvas.c src/larderctl/canvas.h \
	src/larderctl/client.c src/larderctl/client.h \
	src/larderctl/larderctl.h \
	src/larderctl/link.c src/larderctl/link.h \
	src/larderctl/main.c \
	src/larderctl/screen.c src/larderctl/screen.h \
	src/larderctl/show.h \
	src/larderctl/show_cache.c \
	src/larderctl/show_route.c \
	src/larderctl/show_slow.c \
	src/larderctl/show_stats.c \
	src/larderctl/show_status.c \
	src/larderctl/show_trace.c \
	src/larderctl/show_upstreams.c \
	src/larderctl/suggest.c src/larderctl/suggest.h \
	src/larderctl/table.c src/larderctl/table.h \
	src/larderctl/term.c src/larderctl/term.h \
	src/larderctl/top_draw.c src/larderctl/top_draw.h \
	src/larderctl/top_sample.c src/larderctl/top_sample.h \
	src/larderctl/units.c src/larderctl/units.h \
	src/larderctl/verbs.c src/larderctl/verbs.h \
	src/larderctl/verbs_look.c \
	src/larderctl/verbs_top.c \
	src/larderctl/verbs_monitor.c \
	src/larderctl/verbs_trace.c
larderctl_LDADD = liblarder.a $(LARDER_LIBS)
EXTRA_DIST += src/larderctl/README.md
