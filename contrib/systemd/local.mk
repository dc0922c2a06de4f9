# Units: as they stand they fit --prefix=/usr; what is installed has the paths of this build.
EXTRA_DIST += \
	contrib/systemd/README.md \
	contrib/systemd/larder.socket \
	contrib/systemd/larderd.service \
	contrib/systemd/sysusers.d/larder.conf \
	contrib/systemd/tmpfiles.d/larder.conf

if SYSTEMD_UNITS
systemdsystemunit_DATA = contrib/systemd/larder.socket contrib/systemd/built/larderd.service
sysusers_DATA = contrib/systemd/sysusers.d/larder.conf
tmpfiles_DATA = contrib/systemd/tmpfiles.d/larder.conf
CLEANFILES += contrib/systemd/built/larderd.service

contrib/systemd/built/larderd.service: contrib/systemd/larderd.service Makefile
	$(AM_V_at)$(MKDIR_P) contrib/systemd/built
	$(AM_V_GEN)sed -e 's|=/usr/sbin/|=$(sbindir)/|' -e 's|=/usr/bin/|=$(bindir)/|' \
		$(srcdir)/contrib/systemd/larderd.service >$@.new && mv $@.new $@
endif
