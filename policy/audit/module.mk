audit_sources := policy/audit/audit.c
$(eval $(call library,boundary-audit,$(audit_sources)))
