# Fuzz targets: with --enable-fuzzing libFuzzer programs, otherwise programs that replay what is kept.

fuzz_answer_sources = tests/fuzz/fuzz_answer.c tests/fuzz/fuzz.h \
	tests/unit/judge.c tests/unit/judge.h tests/unit/oracle.c tests/unit/oracle.h
fuzz_conf_sources = tests/fuzz/fuzz_conf.c
fuzz_control_sources = tests/fuzz/fuzz_control.c
fuzz_frames_sources = tests/fuzz/fuzz_frames.c tests/fuzz/fuzz.h
fuzz_h2_sources = tests/fuzz/fuzz_h2.c tests/fuzz/fuzz.h
fuzz_name_sources = tests/fuzz/fuzz_name.c tests/fuzz/fuzz.h tests/unit/oracle.c tests/unit/oracle.h
fuzz_query_sources = tests/fuzz/fuzz_query.c tests/fuzz/fuzz.h tests/unit/oracle.c tests/unit/oracle.h
fuzz_replay_sources = tests/fuzz/replay.c tests/fuzz/fuzz.h tests/unit/guard.h
fuzz_libs = liblarder.a $(LARDER_LIBS)

if FUZZING
noinst_PROGRAMS = \
	tests/fuzz/fuzz_answer tests/fuzz/fuzz_conf tests/fuzz/fuzz_control \
	tests/fuzz/fuzz_frames tests/fuzz/fuzz_h2 tests/fuzz/fuzz_name tests/fuzz/fuzz_query
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer

tests_fuzz_fuzz_answer_SOURCES = $(fuzz_answer_sources)
tests_fuzz_fuzz_answer_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_answer_LDADD = $(fuzz_libs)
tests_fuzz_fuzz_conf_SOURCES = $(fuzz_conf_sources)
tests_fuzz_fuzz_conf_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_conf_LDADD = $(fuzz_libs)
tests_fuzz_fuzz_control_SOURCES = $(fuzz_control_sources)
tests_fuzz_fuzz_control_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_control_LDADD = $(fuzz_libs)
tests_fuzz_fuzz_frames_SOURCES = $(fuzz_frames_sources)
tests_fuzz_fuzz_frames_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_frames_LDADD = $(fuzz_libs)
tests_fuzz_fuzz_h2_SOURCES = $(fuzz_h2_sources)
tests_fuzz_fuzz_h2_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_h2_LDADD = $(fuzz_libs)
tests_fuzz_fuzz_name_SOURCES = $(fuzz_name_sources)
tests_fuzz_fuzz_name_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_name_LDADD = $(fuzz_libs)
tests_fuzz_fuzz_query_SOURCES = $(fuzz_query_sources)
tests_fuzz_fuzz_query_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_query_LDADD = $(fuzz_libs)
else
fuzz_replays = \
	tests/fuzz/replay_answer tests/fuzz/replay_conf tests/fuzz/replay_control \
	tests/fuzz/replay_frames tests/fuzz/replay_h2 tests/fuzz/replay_name tests/fuzz/replay_query
check_PROGRAMS += $(fuzz_replays)
TESTS += $(fuzz_replays)

tests_fuzz_replay_answer_SOURCES = $(fuzz_answer_sources) $(fuzz_replay_sources)
tests_fuzz_replay_answer_LDADD = $(fuzz_libs)
tests_fuzz_replay_conf_SOURCES = $(fuzz_conf_sources) $(fuzz_replay_sources)
tests_fuzz_replay_conf_LDADD = $(fuzz_libs)
tests_fuzz_replay_control_SOURCES = $(fuzz_control_sources) $(fuzz_replay_sources)
tests_fuzz_replay_control_LDADD = $(fuzz_libs)
tests_fuzz_replay_frames_SOURCES = $(fuzz_frames_sources) $(fuzz_replay_sources)
tests_fuzz_replay_frames_LDADD = $(fuzz_libs)
tests_fuzz_replay_h2_SOURCES = $(fuzz_h2_sources) $(fuzz_replay_sources)
tests_fuzz_replay_h2_LDADD = $(fuzz_libs)
tests_fuzz_replay_name_SOURCES = $(fuzz_name_sources) $(fuzz_replay_sources)
tests_fuzz_replay_name_LDADD = $(fuzz_libs)
tests_fuzz_replay_query_SOURCES = $(fuzz_query_sources) $(fuzz_replay_sources)
tests_fuzz_replay_query_LDADD = $(fuzz_libs)
endif

EXTRA_DIST += tests/fuzz/README.md tests/fuzz/make_corpus.py tests/fuzz/corpus
dist_check_SCRIPTS += tests/fuzz/coverage.py

# make fuzz-coverage COVERAGE_ARGS="--seconds 5 --missing"
COVERAGE_ARGS =
.PHONY: fuzz-coverage
fuzz-coverage:
	$(AM_V_at)PYTHONDONTWRITEBYTECODE=1 $(srcdir)/tests/fuzz/coverage.py $(COVERAGE_ARGS)
