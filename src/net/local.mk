liblarder_a_SOURCES += \
	src/net/client.c src/net/client.h \
	src/net/dial.c src/net/dial.h \
	src/net/frames.c src/net/frames.h \
	src/net/h2.c src/net/h2.h \
	src/net/listener.h \
	src/net/listeners.c src/net/listeners.h \
	src/net/outbox.c src/net/outbox.h \
	src/net/stream.c src/net/stream.h \
	src/net/stream_client.c \
	src/net/stream_frames.c \
	src/net/stream_http.c \
	src/net/tcp_conn.c src/net/tcp_conn.h \
	src/net/tcp_listener.c \
	src/net/tls.c src/net/tls.h \
	src/net/tls_peer.c src/net/tls_peer.h \
	src/net/tls_tickets.c src/net/tls_tickets.h \
	src/net/transport.h \
	src/net/udp_listener.c \
	src/net/udp_pool.c
EXTRA_DIST += src/net/README.md
