# An administrator's file is never overwritten, and only an unchanged one is removed.
EXTRA_DIST += etc/larder.yaml etc/README.md
larder_conf = $(DESTDIR)$(sysconfdir)/larder/larder.yaml

install-data-local:
	$(MKDIR_P) "$(DESTDIR)$(sysconfdir)/larder"
	test -e "$(larder_conf)" || $(INSTALL_DATA) $(srcdir)/etc/larder.yaml "$(larder_conf)"

uninstall-local:
	! cmp -s $(srcdir)/etc/larder.yaml "$(larder_conf)" || rm -f "$(larder_conf)"
	-rmdir "$(DESTDIR)$(sysconfdir)/larder" 2>/dev/null
