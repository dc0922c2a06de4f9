liblarder_a_SOURCES += \
	src/dns/answer.c src/dns/answer.h \
	src/dns/compress.c src/dns/compress.h \
	src/dns/cursor.c src/dns/cursor.h \
	src/dns/message.c src/dns/message.h \
	src/dns/name.c src/dns/name.h \
	src/dns/rdata.c src/dns/rdata.h \
	src/dns/record.c src/dns/record.h \
	src/dns/rrtype.c src/dns/rrtype.h \
	src/dns/scrub.c src/dns/scrub.h \
	src/dns/svcb.c src/dns/svcb.h \
	src/dns/text.c src/dns/text.h \
	src/dns/wire.h
EXTRA_DIST += src/dns/README.md
