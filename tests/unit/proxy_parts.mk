proxy_test_libraries := boundary-proxy boundary-audit boundary-rules boundary-seccomp boundary
proxy_test_packages := openssl libcares libidn2 libseccomp
$(foreach name,audit proxy_identity proxy_body proxy_page proxy_ca proxy_stream proxy_config proxy_diagnostics proxy_trust,\
	$(eval $(call unit_test,$(name),$(proxy_test_libraries),$(proxy_test_packages),-lev)))
# There is no redirect here to ask for the original destination.
$(foreach name,proxy_client proxy_exchange,\
	$(eval $(call unit_test,$(name),$(proxy_test_libraries),$(proxy_test_packages),-lev -Wl$(comma)--wrap=getsockopt)))
# Addresses lead where the suite wants.
$(eval $(call unit_test,proxy_upstream,$(proxy_test_libraries),$(proxy_test_packages),\
	-lev -Wl$(comma)--wrap=connect -Wl$(comma)--wrap=socket))
$(eval $(call unit_test,proxy_reach,$(proxy_test_libraries),$(proxy_test_packages),\
	-lev -Wl$(comma)--wrap=getsockopt -Wl$(comma)--wrap=ioctl))
