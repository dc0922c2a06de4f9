# tests/system: the daemon from outside, with pytest.  contrib/check runs them.
EXTRA_DIST += \
	tests/system/README.md \
	tests/data/128.100.in-addr.arpa.zone \
	tests/data/README.md \
	tests/data/example.com.zone \
	tests/data/example.net.zone \
	tests/data/example.org.zone \
	tests/data/root.zone \
	tests/system/authority.py \
	tests/system/browser.py \
	tests/system/clockshim.py \
	tests/system/conftest.py \
	tests/system/harness.py \
	tests/system/jail.py \
	tests/system/pipeline.py \
	tests/system/realservers.py \
	tests/system/richzones.py \
	tests/system/secure.py \
	tests/system/secureservers.py \
	tests/system/terminal.py \
	tests/system/test_abuse.py \
	tests/system/test_any_svcb.py \
	tests/system/test_bootstrap.py \
	tests/system/test_cache.py \
	tests/system/test_chain.py \
	tests/system/test_completion.py \
	tests/system/test_control.py \
	tests/system/test_daemon.py \
	tests/system/test_differential.py \
	tests/system/test_ede.py \
	tests/system/test_doh.py \
	tests/system/test_edns.py \
	tests/system/test_encrypted.py \
	tests/system/test_events.py \
	tests/system/test_failures.py \
	tests/system/test_flags.py \
	tests/system/test_forward.py \
	tests/system/test_harness.py \
	tests/system/test_http.py \
	tests/system/test_match.py \
	tests/system/test_message.py \
	tests/system/test_names.py \
	tests/system/test_negative.py \
	tests/system/test_network.py \
	tests/system/test_opportunistic.py \
	tests/system/test_overload.py \
	tests/system/test_page.py \
	tests/system/test_schedule.py \
	tests/system/test_secure_servers.py \
	tests/system/test_service.py \
	tests/system/test_shipped.py \
	tests/system/test_size.py \
	tests/system/test_special.py \
	tests/system/test_split.py \
	tests/system/test_stale.py \
	tests/system/test_tcp.py \
	tests/system/test_top.py \
	tests/system/test_trace.py \
	tests/system/test_walk.py \
	tests/system/test_tickets.py \
	tests/system/test_upgrade.py \
	tests/system/test_watching.py \
	tests/system/web.py

EXTRA_DIST += contrib/README.md contrib/check contrib/common.sh contrib/try \
	contrib/grafana/README.md contrib/grafana/larder.json \
	contrib/prometheus/README.md \
	contrib/prometheus/larder.rules.test.yml \
	contrib/prometheus/larder.rules.yml
