# Installation. The one privileged step is the file capability of the helper: `make install` does it when it is root
# and installs into the running system; a package does it in its post-install script.

man_pages := $(wildcard packaging/man/*.[0-9])
helper_installed := $(LIBEXECDIR)/boundary-helper
set_capability := setcap cap_net_admin=p $(helper_installed)

# target install: into DESTDIR/PREFIX; as root without DESTDIR also gives the helper its capability
install: all
	$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(DOCDIR)
	$(INSTALL) -m 755 $(O)/bin/boundary-launch $(DESTDIR)$(BINDIR)/
	$(INSTALL) -m 755 $(O)/libexec/boundary/boundary-helper $(O)/libexec/boundary/boundary-proxy $(DESTDIR)$(LIBEXECDIR)/
	$(INSTALL) -m 644 README.md LICENSE $(DESTDIR)$(DOCDIR)/
	@for page in $(man_pages); do \
		$(INSTALL) -D -m 644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/} || exit 1; done
	@if [ -n '$(DESTDIR)' ]; then :; \
	elif [ "$$(id -u)" = 0 ]; then PATH="$$PATH:/usr/sbin:/sbin" $(set_capability) && echo '$(set_capability)'; \
	else echo 'Now, once: sudo $(set_capability)'; fi

# target uninstall: remove what install put there
uninstall:
	rm -f $(DESTDIR)$(BINDIR)/boundary-launch
	rm -f $(DESTDIR)$(helper_installed) $(DESTDIR)$(LIBEXECDIR)/boundary-proxy
	rm -f $(DESTDIR)$(DOCDIR)/README.md $(DESTDIR)$(DOCDIR)/LICENSE
	@for page in $(man_pages); do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done
	@rmdir $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(DOCDIR) 2>/dev/null || :
