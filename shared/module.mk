shared_sources := shared/error.c shared/log.c shared/wire.c shared/process.c
$(eval $(call library,boundary,$(shared_sources)))

# Messages to the kernel, for those who make interfaces and rules. The rest of shared/ needs libc only.
netlink_sources := shared/netlink.c shared/nft.c
$(eval $(call library,boundary-netlink,$(netlink_sources)))
netlink_packages := libnl-3.0
$(call objects,$(netlink_sources)): cppflags += $(call pkg_cflags,$(netlink_packages))
