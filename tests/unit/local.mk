# Unit tests.  A test is one program of cmocka's, named after the module it tests.

if HAVE_CMOCKA
AM_CPPFLAGS += $(CMOCKA_CFLAGS)

unit_libs = liblarder.a $(LARDER_LIBS) $(CMOCKA_LIBS)
# Memory runs out in these when the test says so: calls from larder's own objects come to the test first.
unit_wraps = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
unit_alloc = tests/unit/alloc_fail.c tests/unit/alloc_fail.h
unit_alloc_wraps = $(unit_wraps),--wrap=aligned_alloc,--wrap=strdup,--wrap=free,--wrap=mmap,--wrap=munmap
unit_tests =

# base/
unit_tests += tests/unit/test_addr
tests_unit_test_addr_SOURCES = tests/unit/test_addr.c tests/unit/unit.h
tests_unit_test_addr_LDADD = $(unit_libs)

unit_tests += tests/unit/test_clock
tests_unit_test_clock_SOURCES = tests/unit/test_clock.c tests/unit/unit.h
tests_unit_test_clock_LDADD = $(unit_libs)

unit_tests += tests/unit/test_keep
tests_unit_test_keep_SOURCES = tests/unit/test_keep.c tests/unit/unit.h
tests_unit_test_keep_LDADD = $(unit_libs)

unit_tests += tests/unit/test_list
tests_unit_test_list_SOURCES = tests/unit/test_list.c tests/unit/unit.h
tests_unit_test_list_LDADD = $(unit_libs)

unit_tests += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c tests/unit/unit.h
tests_unit_test_log_LDADD = $(unit_libs)

unit_tests += tests/unit/test_latch
tests_unit_test_latch_SOURCES = tests/unit/test_latch.c tests/unit/unit.h
tests_unit_test_latch_LDADD = $(unit_libs)

unit_tests += tests/unit/test_ring
tests_unit_test_ring_SOURCES = tests/unit/test_ring.c tests/unit/unit.h
tests_unit_test_ring_LDADD = $(unit_libs)

unit_tests += tests/unit/test_rng
tests_unit_test_rng_SOURCES = tests/unit/test_rng.c tests/unit/unit.h
tests_unit_test_rng_LDADD = $(unit_libs)

unit_tests += tests/unit/test_siphash
tests_unit_test_siphash_SOURCES = tests/unit/test_siphash.c tests/unit/guard.h tests/unit/unit.h
tests_unit_test_siphash_LDADD = $(unit_libs)

unit_tests += tests/unit/test_timer
tests_unit_test_timer_SOURCES = tests/unit/test_timer.c tests/unit/unit.h
tests_unit_test_timer_LDADD = $(unit_libs)

unit_tests += tests/unit/test_varlink
tests_unit_test_varlink_SOURCES = tests/unit/test_varlink.c
tests_unit_test_varlink_LDADD = $(unit_libs)

# dns/: a writer and a second reader of messages, and what must be true of every answer
unit_message = \
	tests/unit/draft.c tests/unit/draft.h \
	tests/unit/guard.h \
	tests/unit/judge.c tests/unit/judge.h \
	tests/unit/oracle.c tests/unit/oracle.h \
	tests/unit/unit.h

unit_tests += tests/unit/test_answer
tests_unit_test_answer_SOURCES = tests/unit/test_answer.c tests/unit/guard.h tests/unit/unit.h
tests_unit_test_answer_LDADD = $(unit_libs)

unit_tests += tests/unit/test_svcb
tests_unit_test_svcb_SOURCES = tests/unit/test_svcb.c tests/unit/guard.h tests/unit/unit.h
tests_unit_test_svcb_LDADD = $(unit_libs)

unit_tests += tests/unit/test_compress
tests_unit_test_compress_SOURCES = tests/unit/test_compress.c \
	tests/unit/oracle.c tests/unit/oracle.h tests/unit/unit.h
tests_unit_test_compress_LDADD = $(unit_libs)

unit_tests += tests/unit/test_cursor
tests_unit_test_cursor_SOURCES = tests/unit/test_cursor.c \
	tests/unit/guard.h tests/unit/oracle.c tests/unit/oracle.h tests/unit/unit.h
tests_unit_test_cursor_LDADD = $(unit_libs)

unit_tests += tests/unit/test_message
tests_unit_test_message_SOURCES = tests/unit/test_message.c $(unit_message)
tests_unit_test_message_LDADD = $(unit_libs)

unit_tests += tests/unit/test_name
tests_unit_test_name_SOURCES = tests/unit/test_name.c tests/unit/unit.h
tests_unit_test_name_LDADD = $(unit_libs)

unit_tests += tests/unit/test_rdata
tests_unit_test_rdata_SOURCES = tests/unit/test_rdata.c tests/unit/unit.h
tests_unit_test_rdata_LDADD = $(unit_libs)

unit_tests += tests/unit/test_record
tests_unit_test_record_SOURCES = tests/unit/test_record.c $(unit_message)
tests_unit_test_record_LDADD = $(unit_libs)

unit_tests += tests/unit/test_scrub
tests_unit_test_scrub_SOURCES = tests/unit/test_scrub.c $(unit_message)
tests_unit_test_scrub_LDADD = $(unit_libs)

unit_tests += tests/unit/test_rrtype
tests_unit_test_rrtype_SOURCES = tests/unit/test_rrtype.c
tests_unit_test_rrtype_LDADD = $(unit_libs)

unit_tests += tests/unit/test_text
tests_unit_test_text_SOURCES = tests/unit/test_text.c tests/unit/unit.h
tests_unit_test_text_LDADD = $(unit_libs)

# stats/
unit_tests += tests/unit/test_histogram
tests_unit_test_histogram_SOURCES = tests/unit/test_histogram.c tests/unit/unit.h
tests_unit_test_histogram_LDADD = $(unit_libs)

unit_tests += tests/unit/test_recent
tests_unit_test_recent_SOURCES = tests/unit/test_recent.c tests/unit/unit.h
tests_unit_test_recent_LDADD = $(unit_libs)

unit_tests += tests/unit/test_stats
tests_unit_test_stats_SOURCES = tests/unit/test_stats.c tests/unit/unit.h
tests_unit_test_stats_LDADD = $(unit_libs)

# policy/
unit_tests += tests/unit/test_limits
tests_unit_test_limits_SOURCES = tests/unit/test_limits.c $(unit_alloc) tests/unit/unit.h
tests_unit_test_limits_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_limits_LDADD = $(unit_libs)

unit_tests += tests/unit/test_policy
tests_unit_test_policy_SOURCES = tests/unit/test_policy.c $(unit_alloc) $(unit_message)
tests_unit_test_policy_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_policy_LDADD = $(unit_libs)

unit_tests += tests/unit/test_special
tests_unit_test_special_SOURCES = tests/unit/test_special.c $(unit_alloc) $(unit_message)
tests_unit_test_special_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_special_LDADD = $(unit_libs)

unit_tests += tests/unit/test_suffixes
tests_unit_test_suffixes_SOURCES = tests/unit/test_suffixes.c $(unit_alloc) tests/unit/unit.h
tests_unit_test_suffixes_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_suffixes_LDADD = $(unit_libs)

# upstream/ and resolve/
unit_tests += tests/unit/test_ask
tests_unit_test_ask_SOURCES = tests/unit/test_ask.c tests/unit/ask_rig.h $(unit_alloc) tests/unit/unit.h
tests_unit_test_ask_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_ask_LDADD = $(unit_libs)

unit_tests += tests/unit/test_choice
tests_unit_test_choice_SOURCES = tests/unit/test_choice.c tests/unit/unit.h
tests_unit_test_choice_LDADD = $(unit_libs)

unit_tests += tests/unit/test_exchange
tests_unit_test_exchange_SOURCES = tests/unit/test_exchange.c tests/unit/exchange_rig.h $(unit_message)
tests_unit_test_exchange_LDADD = $(unit_libs)

unit_tests += tests/unit/test_flight
tests_unit_test_flight_SOURCES = tests/unit/test_flight.c $(unit_alloc) $(unit_message)
tests_unit_test_flight_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_flight_LDADD = $(unit_libs)

unit_tests += tests/unit/test_health
tests_unit_test_health_SOURCES = tests/unit/test_health.c tests/unit/unit.h
tests_unit_test_health_LDADD = $(unit_libs)

unit_tests += tests/unit/test_host
tests_unit_test_host_SOURCES = tests/unit/test_host.c tests/unit/ask_rig.h $(unit_alloc) tests/unit/unit.h
tests_unit_test_host_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_host_LDADD = $(unit_libs)

unit_tests += tests/unit/test_refresh
tests_unit_test_refresh_SOURCES = tests/unit/test_refresh.c tests/unit/exchange_rig.h \
	$(unit_alloc) $(unit_message)
tests_unit_test_refresh_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_refresh_LDADD = $(unit_libs)

unit_tests += tests/unit/test_resolver
tests_unit_test_resolver_SOURCES = tests/unit/test_resolver.c tests/unit/exchange_rig.h \
	$(unit_alloc) $(unit_message)
tests_unit_test_resolver_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_resolver_LDADD = $(unit_libs)

unit_tests += tests/unit/test_course
tests_unit_test_course_SOURCES = tests/unit/test_course.c tests/unit/unit.h
tests_unit_test_course_LDADD = $(unit_libs)

unit_tests += tests/unit/test_slow
tests_unit_test_slow_SOURCES = tests/unit/test_slow.c tests/unit/unit.h
tests_unit_test_slow_LDADD = $(unit_libs)

unit_tests += tests/unit/test_setup
tests_unit_test_setup_SOURCES = tests/unit/test_setup.c tests/unit/exchange_rig.h $(unit_alloc) tests/unit/unit.h
tests_unit_test_setup_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_setup_LDADD = $(unit_libs)

unit_tests += tests/unit/test_upgrade
tests_unit_test_upgrade_SOURCES = tests/unit/test_upgrade.c tests/unit/ask_rig.h tests/unit/unit.h
tests_unit_test_upgrade_LDADD = $(unit_libs)

unit_tests += tests/unit/test_upstream
tests_unit_test_upstream_SOURCES = tests/unit/test_upstream.c tests/unit/exchange_rig.h tests/unit/unit.h
tests_unit_test_upstream_LDADD = $(unit_libs)

# cache/
unit_tests += tests/unit/test_cache
tests_unit_test_cache_SOURCES = tests/unit/test_cache.c $(unit_alloc) tests/unit/guard.h tests/unit/unit.h
tests_unit_test_cache_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_cache_LDADD = $(unit_libs)

unit_tests += tests/unit/test_pool
tests_unit_test_pool_SOURCES = tests/unit/test_pool.c tests/unit/unit.h
tests_unit_test_pool_LDADD = $(unit_libs)

# net/
unit_net = tests/unit/net_rig.h tests/unit/net_probe.h tests/unit/net_service.h

unit_tests += tests/unit/test_net_dial
tests_unit_test_net_dial_SOURCES = tests/unit/test_net_dial.c $(unit_net)
tests_unit_test_net_dial_LDADD = $(unit_libs)

unit_tests += tests/unit/test_net_frames
tests_unit_test_net_frames_SOURCES = tests/unit/test_net_frames.c $(unit_net)
tests_unit_test_net_frames_LDADD = $(unit_libs)

unit_tests += tests/unit/test_net_memory
tests_unit_test_net_memory_SOURCES = tests/unit/test_net_memory.c \
	tests/unit/fail_alloc.c tests/unit/fail_alloc.h $(unit_net) $(unit_secure)
tests_unit_test_net_memory_LDFLAGS = $(AM_LDFLAGS) $(unit_wraps)
tests_unit_test_net_memory_LDADD = $(unit_libs)

unit_tests += tests/unit/test_net_namespace
tests_unit_test_net_namespace_SOURCES = tests/unit/test_net_namespace.c $(unit_net)
tests_unit_test_net_namespace_LDADD = $(unit_libs)

unit_tests += tests/unit/test_net_stream_client
tests_unit_test_net_stream_client_SOURCES = tests/unit/test_net_stream_client.c $(unit_net)
tests_unit_test_net_stream_client_LDADD = $(unit_libs)

unit_tests += tests/unit/test_net_tcp_listener
tests_unit_test_net_tcp_listener_SOURCES = tests/unit/test_net_tcp_listener.c $(unit_net)
tests_unit_test_net_tcp_listener_LDADD = $(unit_libs)

unit_tests += tests/unit/test_net_udp_listener
tests_unit_test_net_udp_listener_SOURCES = tests/unit/test_net_udp_listener.c $(unit_net)
tests_unit_test_net_udp_listener_LDADD = $(unit_libs)

unit_tests += tests/unit/test_net_udp_pool
tests_unit_test_net_udp_pool_SOURCES = tests/unit/test_net_udp_pool.c $(unit_net)
tests_unit_test_net_udp_pool_LDADD = $(unit_libs)

# net/: TLS and HTTP/2, between arrays and on sockets
unit_tls = tests/unit/tls_rig.c tests/unit/tls_rig.h tests/unit/unit.h
unit_secure = tests/unit/net_secure.h tests/unit/h2_rig.c tests/unit/h2_rig.h $(unit_tls)

unit_tests += tests/unit/test_h2
tests_unit_test_h2_SOURCES = tests/unit/test_h2.c tests/unit/h2_rig.c tests/unit/h2_rig.h tests/unit/unit.h
tests_unit_test_h2_LDADD = $(unit_libs)

unit_tests += tests/unit/test_net_secure_client
tests_unit_test_net_secure_client_SOURCES = tests/unit/test_net_secure_client.c $(unit_net) $(unit_secure)
tests_unit_test_net_secure_client_LDADD = $(unit_libs)

unit_tests += tests/unit/test_tls
tests_unit_test_tls_SOURCES = tests/unit/test_tls.c $(unit_tls)
tests_unit_test_tls_LDADD = $(unit_libs)

unit_tests += tests/unit/test_tls_tickets
tests_unit_test_tls_tickets_SOURCES = tests/unit/test_tls_tickets.c tests/unit/guard.h $(unit_tls)
tests_unit_test_tls_tickets_LDADD = $(unit_libs)

# conf/
unit_tests += tests/unit/test_conf
tests_unit_test_conf_SOURCES = tests/unit/test_conf.c tests/unit/conf_rig.h
tests_unit_test_conf_LDADD = $(unit_libs)

unit_tests += tests/unit/test_conf_manual
tests_unit_test_conf_manual_SOURCES = tests/unit/test_conf_manual.c tests/unit/conf_rig.h
tests_unit_test_conf_manual_LDADD = $(unit_libs)

unit_tests += tests/unit/test_conf_memory
tests_unit_test_conf_memory_SOURCES = tests/unit/test_conf_memory.c tests/unit/conf_rig.h
tests_unit_test_conf_memory_LDFLAGS = $(AM_LDFLAGS) $(unit_wraps),--wrap=strdup
tests_unit_test_conf_memory_LDADD = $(unit_libs)

unit_tests += tests/unit/test_conf_resolv
tests_unit_test_conf_resolv_SOURCES = tests/unit/test_conf_resolv.c tests/unit/conf_rig.h
tests_unit_test_conf_resolv_LDADD = $(unit_libs)

# control/ and larderctl/
unit_control = \
	tests/unit/fail_alloc.c tests/unit/fail_alloc.h \
	tests/unit/fake_control.c tests/unit/fake_control.h

unit_tests += tests/unit/test_call
tests_unit_test_call_SOURCES = tests/unit/test_call.c $(unit_control)
tests_unit_test_call_LDFLAGS = $(AM_LDFLAGS) $(unit_wraps)
tests_unit_test_call_LDADD = $(unit_libs)

unit_tests += tests/unit/test_control
tests_unit_test_control_SOURCES = tests/unit/test_control.c $(unit_control)
tests_unit_test_control_LDFLAGS = $(AM_LDFLAGS) $(unit_wraps)
tests_unit_test_control_LDADD = $(unit_libs)

unit_tests += tests/unit/test_http_checkup
tests_unit_test_http_checkup_SOURCES = tests/unit/test_http_checkup.c \
	tests/unit/fake_control.c tests/unit/fake_control.h tests/unit/unit.h
tests_unit_test_http_checkup_LDADD = $(unit_libs)

unit_tests += tests/unit/test_http_metrics
tests_unit_test_http_metrics_SOURCES = tests/unit/test_http_metrics.c $(unit_alloc) \
	tests/unit/fake_control.c tests/unit/fake_control.h tests/unit/unit.h
tests_unit_test_http_metrics_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_http_metrics_LDADD = $(unit_libs)

unit_tests += tests/unit/test_http_pages
tests_unit_test_http_pages_SOURCES = tests/unit/test_http_pages.c $(unit_alloc) \
	tests/unit/fake_control.c tests/unit/fake_control.h tests/unit/unit.h
tests_unit_test_http_pages_LDFLAGS = $(AM_LDFLAGS) $(unit_alloc_wraps)
tests_unit_test_http_pages_LDADD = $(unit_libs)

unit_tests += tests/unit/test_interface
tests_unit_test_interface_SOURCES = tests/unit/test_interface.c \
	tests/unit/fake_control.c tests/unit/fake_control.h
tests_unit_test_interface_LDADD = $(unit_libs)

unit_tests += tests/unit/test_larderctl
tests_unit_test_larderctl_SOURCES = tests/unit/test_larderctl.c \
	tests/unit/fake_control.c tests/unit/fake_control.h \
	src/larderctl/client.c src/larderctl/show_cache.c src/larderctl/show_route.c src/larderctl/show_slow.c src/larderctl/verbs_monitor.c \
	src/larderctl/show_stats.c src/larderctl/show_status.c \
	src/larderctl/show_upstreams.c \
	src/larderctl/suggest.c src/larderctl/table.c src/larderctl/term.c \
	src/larderctl/units.c src/larderctl/verbs.c src/larderctl/verbs.h src/larderctl/verbs_look.c \
	src/larderctl/show_trace.c src/larderctl/verbs_trace.c
tests_unit_test_larderctl_LDADD = $(unit_libs)

unit_tests += tests/unit/test_top
tests_unit_test_top_SOURCES = tests/unit/test_top.c tests/unit/unit.h \
	src/larderctl/canvas.c src/larderctl/canvas.h src/larderctl/term.c \
	src/larderctl/top_draw.c src/larderctl/top_draw.h \
	src/larderctl/top_sample.c src/larderctl/top_sample.h src/larderctl/units.c
tests_unit_test_top_LDADD = $(unit_libs)

# daemon/
unit_tests += tests/unit/test_activation
tests_unit_test_activation_SOURCES = tests/unit/test_activation.c tests/unit/unit.h
tests_unit_test_activation_LDADD = $(unit_libs)

unit_tests += tests/unit/test_tickets
tests_unit_test_tickets_SOURCES = tests/unit/test_tickets.c tests/unit/unit.h
tests_unit_test_tickets_LDADD = $(unit_libs)

unit_tests += tests/unit/test_addresses
tests_unit_test_addresses_SOURCES = tests/unit/test_addresses.c tests/unit/unit.h
tests_unit_test_addresses_LDADD = $(unit_libs)

unit_tests += tests/unit/test_netwatch
tests_unit_test_netwatch_SOURCES = tests/unit/test_netwatch.c tests/unit/unit.h
tests_unit_test_netwatch_LDADD = $(unit_libs)

unit_tests += tests/unit/test_service
tests_unit_test_service_SOURCES = tests/unit/test_service.c tests/unit/unit.h
tests_unit_test_service_LDADD = $(unit_libs)

check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
endif

EXTRA_DIST += tests/unit/README.md
