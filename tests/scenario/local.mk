# tests/scenario: text scenarios against the real resolve, policy, upstream and cache layers.
# The runner plays all of them in one test, and fails when one is missing from this list.

check_PROGRAMS += tests/scenario/scenario tests/scenario/expectations tests/scenario/storm
TESTS += tests/scenario/scenario tests/scenario/expectations tests/scenario/storm

tests_scenario_scenario_SOURCES = \
	tests/scenario/scenario.c $(scenario_sources)
tests_scenario_scenario_LDADD = liblarder.a $(LARDER_LIBS)

# Scenarios that must fail.
tests_scenario_expectations_SOURCES = \
	tests/scenario/expectations.c $(scenario_sources)
tests_scenario_expectations_LDADD = liblarder.a $(LARDER_LIBS)

# Clients, upstreams and time at random, for some seeds.
tests_scenario_storm_SOURCES = \
	tests/scenario/storm.c \
	tests/scenario/truth.c tests/scenario/truth.h $(scenario_sources)
tests_scenario_storm_LDADD = liblarder.a $(LARDER_LIBS)

scenario_sources = \
	tests/scenario/asker.c tests/scenario/asker.h \
	tests/scenario/carrier.c tests/scenario/carrier.h \
	tests/scenario/client_verbs.c \
	tests/scenario/health_verbs.c \
	tests/scenario/hears.c \
	tests/scenario/packet.c tests/scenario/packet.h \
	tests/scenario/play.c tests/scenario/play.h \
	tests/scenario/record.c tests/scenario/record.h \
	tests/scenario/rule.c \
	tests/scenario/script.c tests/scenario/script.h \
	tests/scenario/server.c tests/scenario/server.h \
	tests/scenario/server_verbs.c \
	tests/scenario/world.c tests/scenario/world.h \
	tests/scenario/world_verbs.c

EXTRA_DIST += \
	tests/scenario/README.md \
	tests/scenario/alias-dname.scn \
	tests/scenario/alias-left-open.scn \
	tests/scenario/alias-loop-and-long-chain.scn \
	tests/scenario/alias-order.scn \
	tests/scenario/answer-only.scn \
	tests/scenario/any-and-aliasmode.scn \
	tests/scenario/batch-of-queries.scn \
	tests/scenario/black-holed.scn \
	tests/scenario/breaker-answer-between.scn \
	tests/scenario/breaker-attack-1000-names.scn \
	tests/scenario/breaker-attack-two-zones-die.scn \
	tests/scenario/breaker-attack-zone-dies.scn \
	tests/scenario/breaker-begins-anew.scn \
	tests/scenario/breaker-concurrent-death.scn \
	tests/scenario/breaker-control-question.scn \
	tests/scenario/breaker-late-answer-clears.scn \
	tests/scenario/breaker-late-answer-when-open.scn \
	tests/scenario/breaker-one-zone-silent.scn \
	tests/scenario/breaker-opens-by-refused.scn \
	tests/scenario/breaker-opens-by-servfail.scn \
	tests/scenario/breaker-orders.scn \
	tests/scenario/breaker-probes.scn \
	tests/scenario/breaker-same-name-again.scn \
	tests/scenario/breaker-very-slow.scn \
	tests/scenario/budget-of-sends.scn \
	tests/scenario/budget-over-alias-chain.scn \
	tests/scenario/cache-under-flood.scn \
	tests/scenario/case-mixing.scn \
	tests/scenario/chase-and-client-share-a-flight.scn \
	tests/scenario/chased-alias-ages.scn \
	tests/scenario/client-garbage.scn \
	tests/scenario/client-long-names.scn \
	tests/scenario/client-tcp-hangs-up.scn \
	tests/scenario/control-questions-apart.scn \
	tests/scenario/counters-of-outcomes.scn \
	tests/scenario/cut-questions.scn \
	tests/scenario/edns-clients.scn \
	tests/scenario/edns-fallback.scn \
	tests/scenario/edns-silence.scn \
	tests/scenario/epoch-voids-recheck.scn \
	tests/scenario/epoch-voids-silence.scn \
	tests/scenario/failover-all-fail.scn \
	tests/scenario/failover-codes.scn \
	tests/scenario/failover-icmp.scn \
	tests/scenario/failover-referral.scn \
	tests/scenario/failover-silence.scn \
	tests/scenario/failure-never-over-data.scn \
	tests/scenario/failures-by-silence.scn \
	tests/scenario/failures-held-and-doubled.scn \
	tests/scenario/failures-keyed.scn \
	tests/scenario/failures-not-ours.scn \
	tests/scenario/flags-and-upstream-opt.scn \
	tests/scenario/flush-during-flight.scn \
	tests/scenario/flush-kinds.scn \
	tests/scenario/forged-flood.scn \
	tests/scenario/forged-replies.scn \
	tests/scenario/hedge-bounds.scn \
	tests/scenario/hedge-budget.scn \
	tests/scenario/hedge-learned.scn \
	tests/scenario/hedge-no-storm.scn \
	tests/scenario/hedge-one-upstream.scn \
	tests/scenario/hedge-spread-answers.scn \
	tests/scenario/hedge-stays-in-route.scn \
	tests/scenario/host-starting-up.scn \
	tests/scenario/identity.scn \
	tests/scenario/incident-all-silent.scn \
	tests/scenario/incident-one-servfails.scn \
	tests/scenario/incident-one-silent.scn \
	tests/scenario/incident-stalls.scn \
	tests/scenario/join-one-flight.scn \
	tests/scenario/late-answer.scn \
	tests/scenario/limits-per-client.scn \
	tests/scenario/limits-replies.scn \
	tests/scenario/negative-behind-alias.scn \
	tests/scenario/negative-denies-nothing-below.scn \
	tests/scenario/negative-nodata.scn \
	tests/scenario/negative-not-kept.scn \
	tests/scenario/negative-nxdomain.scn \
	tests/scenario/negative-proofs.scn \
	tests/scenario/no-upstreams.scn \
	tests/scenario/not-allowed.scn \
	tests/scenario/one-dead-of-three.scn \
	tests/scenario/overload-of-waiters.scn \
	tests/scenario/overload-says-why.scn \
	tests/scenario/overload.scn \
	tests/scenario/park-last-attempt.scn \
	tests/scenario/park-no-way-out.scn \
	tests/scenario/park-release.scn \
	tests/scenario/park-short-outage.scn \
	tests/scenario/park-stale-at-once.scn \
	tests/scenario/park-times.scn \
	tests/scenario/park-two-routes.scn \
	tests/scenario/park-until-back.scn \
	tests/scenario/policy-fastest-of-four.scn \
	tests/scenario/policy-fastest.scn \
	tests/scenario/policy-of-a-route.scn \
	tests/scenario/policy-ordered-returns.scn \
	tests/scenario/policy-ordered.scn \
	tests/scenario/policy-race.scn \
	tests/scenario/policy-spread.scn \
	tests/scenario/prefetch-after-flush.scn \
	tests/scenario/prefetch-at-most-1.1.scn \
	tests/scenario/prefetch-budget.scn \
	tests/scenario/prefetch-by-timer.scn \
	tests/scenario/prefetch-expiry-grace.scn \
	tests/scenario/prefetch-failed.scn \
	tests/scenario/prefetch-from-a-cache.scn \
	tests/scenario/prefetch-not-before-the-end.scn \
	tests/scenario/prefetch-not-too-early.scn \
	tests/scenario/prefetch-on-hit.scn \
	tests/scenario/prefetch-one-at-a-time.scn \
	tests/scenario/prefetch-same-checks.scn \
	tests/scenario/prefetch-switched-off.scn \
	tests/scenario/prefetch-yields.scn \
	tests/scenario/probes-while-asked.scn \
	tests/scenario/query-timeout-fills-cache.scn \
	tests/scenario/rdata-unchanged.scn \
	tests/scenario/recovery-after-ten-minutes.scn \
	tests/scenario/reload-keeps-unchanged-routes.scn \
	tests/scenario/reload-settings.scn \
	tests/scenario/repeat-joins.scn \
	tests/scenario/resend-schedule.scn \
	tests/scenario/resolve-timeout-ends-sends.scn \
	tests/scenario/resolve-timeout-over-alias-chain.scn \
	tests/scenario/silent-upstream-says-22.scn \
	tests/scenario/size-limits.scn \
	tests/scenario/slow-and-quick-again.scn \
	tests/scenario/special-names.scn \
	tests/scenario/split-alias-crosses.scn \
	tests/scenario/split-alias-loop.scn \
	tests/scenario/split-no-poison.scn \
	tests/scenario/split-routes.scn \
	tests/scenario/stale-all-fail-by-reply.scn \
	tests/scenario/stale-answers-replace.scn \
	tests/scenario/stale-bounds-of-settings.scn \
	tests/scenario/stale-extended-errors.scn \
	tests/scenario/stale-failures-do-not-replace.scn \
	tests/scenario/stale-flushed.scn \
	tests/scenario/stale-fresh-or-waited-for.scn \
	tests/scenario/stale-joiners-wait.scn \
	tests/scenario/stale-never-with-ttl-zero.scn \
	tests/scenario/stale-newer-alias.scn \
	tests/scenario/stale-nodata-without-soa.scn \
	tests/scenario/stale-not-flushed-by-state.scn \
	tests/scenario/stale-not-while-healthy.scn \
	tests/scenario/stale-not-without-rd.scn \
	tests/scenario/stale-per-question.scn \
	tests/scenario/stale-recheck-configured.scn \
	tests/scenario/stale-recheck.scn \
	tests/scenario/stale-refresh-goes-on.scn \
	tests/scenario/stale-same-checks.scn \
	tests/scenario/stale-same-type-alias.scn \
	tests/scenario/stale-survives-denials.scn \
	tests/scenario/stale-switched-off.scn \
	tests/scenario/stale-ttls-alike-in-flight.scn \
	tests/scenario/stale-ttls-alike.scn \
	tests/scenario/stale-upstream-says-so.scn \
	tests/scenario/stale-wait-learned.scn \
	tests/scenario/stale-wait-unknown.scn \
	tests/scenario/stale-when-overloaded.scn \
	tests/scenario/stale-window-configured.scn \
	tests/scenario/stale-window.scn \
	tests/scenario/stop-while-chasing.scn \
	tests/scenario/suspend-ages-entries.scn \
	tests/scenario/suspend-begins-anew.scn \
	tests/scenario/truncated-no-tcp.scn \
	tests/scenario/truncated-then-tcp.scn \
	tests/scenario/try-time-out.scn \
	tests/scenario/try-without-token.scn \
	tests/scenario/ttl-ceiling-and-top-bit.scn \
	tests/scenario/ttl-clock-wrap.scn \
	tests/scenario/ttl-countdown.scn \
	tests/scenario/ttl-floor.scn \
	tests/scenario/ttl-shortest-of-chain.scn \
	tests/scenario/ttl-unify.scn \
	tests/scenario/ttl-zero.scn \
	tests/scenario/upstream-tcp-closes.scn \
	tests/scenario/upstream-tcp-silent.scn \
	tests/scenario/upstream-tcp-wrong-question.scn \
	tests/scenario/upstream-tcp.scn \
	tests/scenario/user-needs-01-dead-first.scn \
	tests/scenario/user-needs-03-silent-aaaa.scn \
	tests/scenario/variants-apart.scn \
	tests/scenario/variants-share-sends.scn
