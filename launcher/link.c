/* See link.h. */
#include "launcher/link.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>

void link_wake(int socket, const char *interface)
{
	/* What it answers is of no interest: to know it, the kernel does first what waits (ethtool_op_get_link() in
	 * net/ethtool/ioctl.c, linkwatch_sync_dev() in net/core/link_watch.c). */
	struct ethtool_value link = { .cmd = ETHTOOL_GLINK };
	struct ifreq request = { .ifr_data = (char *)&link };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	(void)ioctl(socket, SIOCETHTOOL, &request);
}
