"""
The helper's configuration for one command, in a mount namespace of its own: the machine's /etc/boundary stays as it is.
"""

import system

# In the mount namespace that `ip netns exec` made. The machine may have no /etc/boundary to mount over, so a copy of /etc
# on a tmpfs gets one; both go with the namespace. Names are asked for with the resolver's own patience: thousands of
# processes start at a time, and the tests' resolv.conf gives up after a second.
_SCRIPT = """
umask 022; mount -t tmpfs -o mode=755 none "$1" && cp -a /etc/. "$1" && mkdir -p "$1/boundary" &&
printf '%s' "$2" >"$1/boundary/helper.conf" &&
sed -i /^options/d "$1/resolv.conf" &&
mount --bind "$1" /etc && shift 2 && exec "$@"
"""

# Beyond what is measured: no limit of the helper's own is in the way.
MANY = "sessions-per-uid = 4096\nsessions-total = 4096\n"


def popen(world, text, argv, user, **kwargs):
    """Starts argv as `user` in the host's namespace, where helper.conf is `text`."""
    world.undo.push(system.kill_until_gone, world.our_processes, 60)
    place = world.base / "etc-of-a-bench"
    place.mkdir(exist_ok=True)
    return world.popen(["sh", "-c", _SCRIPT, "-", place, text, *user.argv(), *argv], user=world.root, cwd=user.home,
                       environment=user.environment(), **kwargs)
