# The bench: a bare echo, an upstream, a load generator, and what runs them.

bench_programs = tests/bench/echo tests/bench/answer tests/bench/load
EXTRA_PROGRAMS += $(bench_programs)
CLEANFILES += $(bench_programs)

bench_net = tests/bench/net.c tests/bench/net.h
tests_bench_echo_SOURCES = tests/bench/echo.c $(bench_net)
tests_bench_answer_SOURCES = tests/bench/answer.c tests/bench/reply.c tests/bench/reply.h $(bench_net)
tests_bench_load_SOURCES = \
	tests/bench/load.c tests/bench/load.h \
	tests/bench/load_tcp.c \
	tests/bench/load_udp.c \
	tests/bench/query.c tests/bench/query.h \
	tests/bench/slots.c tests/bench/slots.h \
	tests/bench/tally.c tests/bench/tally.h \
	$(bench_net)

EXTRA_DIST += \
	tests/bench/README.md \
	tests/bench/bench.py \
	tests/bench/process.py \
	tests/bench/servers.py

# make bench BENCH_ARGS="--quick --markdown"
BENCH_ARGS =
bench: all $(bench_programs)
	$(AM_V_at)PYTHONDONTWRITEBYTECODE=1 python3 $(srcdir)/tests/bench/bench.py \
		--programs tests/bench --larderd ./larderd $(BENCH_ARGS)
.PHONY: bench
