# The bench: a bare echo, an upstream, a load generator, and what runs them.

bench_programs = tests/bench/echo tests/bench/answer tests/bench/load
EXTRA_PROGRAMS += $(bench_programs)
CLEANFILES += $(bench_programs)

bench_net = tests/bench/net.c tests/bench/net.h
bench_secure = \
	tests/bench/secure.c tests/bench/secure.h \
	tests/bench/secure_http.c tests/bench/secure_conn.h
bench_secure_libs = $(GNUTLS_LIBS) $(NGHTTP2_LIBS)
tests_bench_echo_SOURCES = tests/bench/echo.c $(bench_net)
tests_bench_answer_SOURCES = tests/bench/answer.c tests/bench/reply.c tests/bench/reply.h \
	$(bench_secure) $(bench_net)
tests_bench_answer_LDADD = $(bench_secure_libs)
tests_bench_load_SOURCES = \
	tests/bench/load.c tests/bench/load.h \
	tests/bench/load_tcp.c \
	tests/bench/load_udp.c \
	tests/bench/query.c tests/bench/query.h \
	tests/bench/slots.c tests/bench/slots.h \
	tests/bench/tally.c tests/bench/tally.h \
	$(bench_net)

# The incident bench: upstreams that fail on command, clients that give up.
incident_programs = tests/bench/upstream tests/bench/clients tests/bench/sentinel tests/bench/relay
EXTRA_PROGRAMS += $(incident_programs)
CLEANFILES += $(incident_programs)

tests_bench_upstream_SOURCES = \
	tests/bench/upstream.c \
	tests/bench/arrival.c tests/bench/arrival.h \
	tests/bench/due.c tests/bench/due.h \
	tests/bench/faults.c tests/bench/faults.h \
	tests/bench/reply.c tests/bench/reply.h \
	tests/bench/tally.c tests/bench/tally.h \
	tests/bench/zone.c tests/bench/zone.h \
	tests/bench/orders.c tests/bench/orders.h \
	$(bench_secure) $(bench_net)
tests_bench_upstream_LDADD = $(bench_secure_libs)
tests_bench_relay_SOURCES = \
	tests/bench/relay.c \
	tests/bench/faults.c tests/bench/faults.h \
	tests/bench/orders.c tests/bench/orders.h \
	tests/bench/tally.c tests/bench/tally.h \
	$(bench_net)
tests_bench_clients_SOURCES = \
	tests/bench/clients.c \
	tests/bench/arrival.c tests/bench/arrival.h \
	tests/bench/draw.c tests/bench/draw.h \
	tests/bench/query.c tests/bench/query.h \
	tests/bench/seen.c tests/bench/seen.h \
	tests/bench/slots.c tests/bench/slots.h \
	tests/bench/tally.c tests/bench/tally.h \
	$(bench_net)
tests_bench_clients_LDADD = -lm
tests_bench_sentinel_SOURCES = tests/bench/sentinel.c $(bench_net)

EXTRA_DIST += \
	tests/bench/README.md \
	tests/bench/bench.py \
	tests/bench/flood.py \
	tests/bench/watched.py \
	tests/bench/incident.py \
	tests/bench/incident_cases.py \
	tests/bench/incident_check.py \
	tests/bench/incident_report.py \
	tests/bench/incident_servers.py \
	tests/bench/incident_tools.py \
	tests/bench/process.py \
	tests/bench/scrape.py \
	tests/bench/servers.py

# make bench BENCH_ARGS="--quick --markdown"
BENCH_ARGS =
bench: all $(bench_programs)
	$(AM_V_at)PYTHONDONTWRITEBYTECODE=1 python3 $(srcdir)/tests/bench/bench.py \
		--programs tests/bench --larderd ./larderd $(BENCH_ARGS)

# make bench-incident BENCH_ARGS="--quick --servers larder,unbound"
bench-incident: all tests/bench/echo $(incident_programs)
	$(AM_V_at)PYTHONDONTWRITEBYTECODE=1 python3 $(srcdir)/tests/bench/incident.py \
		--programs tests/bench --larderd ./larderd --larderctl ./larderctl $(BENCH_ARGS)

# make flood FLOOD_ARGS="--names 1000000"
FLOOD_ARGS =
flood: all $(bench_programs)
	$(AM_V_at)PYTHONDONTWRITEBYTECODE=1 python3 $(srcdir)/tests/bench/flood.py \
		--programs tests/bench --larderd ./larderd $(FLOOD_ARGS)

# make bench-scrape SCRAPE_ARGS="--rounds 5 --prefer"
SCRAPE_ARGS =
bench-scrape: all $(bench_programs)
	$(AM_V_at)PYTHONDONTWRITEBYTECODE=1 python3 $(srcdir)/tests/bench/scrape.py \
		--programs tests/bench --larderd ./larderd $(SCRAPE_ARGS)
.PHONY: bench bench-incident flood bench-scrape
