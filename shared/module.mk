shared_sources := shared/error.c shared/log.c shared/wire.c shared/process.c
$(eval $(call library,boundary,$(shared_sources)))
