# The library is everything but main, so that unit tests can link it.
proxy_sources := $(filter-out policy/proxy/main.c,$(sort $(wildcard policy/proxy/*.c)))
$(eval $(call library,boundary-proxy,$(proxy_sources)))

proxy_packages := openssl libcares libidn2 libseccomp
programs += $(O)/libexec/boundary/boundary-proxy
$(eval $(call program,libexec/boundary/boundary-proxy,policy/proxy/main.c,\
	boundary-proxy boundary-audit boundary-rules boundary-seccomp boundary,$(proxy_packages),-lev))
