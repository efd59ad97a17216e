"""The lab on the host's own kernel, which outlives it: whatever runs there may change its own namespaces, and nothing
else. No module can be removed, no setting written that belongs to the whole kernel, no clock set; the kernel refuses
it, whatever a scenario tries."""

import os
import subprocess
import sys

# Without them there is no lab; loaded before the right to load and remove modules is given up.
NEEDED = ["ip_vs"]
# What scenarios load by name. A kernel that lacks one fails those scenarios only.
WANTED = ["ip_vs_rr", "ip_vs_wrr", "ip_vs_mh", "ip_vs_pe_sip", "tun", "veth", "bridge", "dummy", "ipip", "ip6_tunnel",
          "sctp", "iptable_filter", "iptable_mangle", "ip6table_mangle"]
GIVEN_UP = "-sys_module,-sys_time,-sys_boot,-sys_rawio,-syslog"


def check():
    if os.geteuid() != 0:
        sys.exit("the lab on the host's kernel wants root; or: apt install user-mode-linux")
    if subprocess.run(["modprobe", "-a", *NEEDED]).returncode:
        sys.exit("this host has no ip_vs module; apt install user-mode-linux")


def argv(script):
    # Before, and not in, the namespaces: a link is made in them for each module that has one for all.
    subprocess.run(["modprobe", "-a", "-q", *WANTED])
    # Namespaces of its own: /run/netns and the "first" network namespace vanish with the command.
    return ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child",
            "setpriv", f"--bounding-set={GIVEN_UP}", str(script)]


def surroundings():
    """What the command's script does first, as lines of shell. Of the kernel's settings those of the network
    namespaces stay writable; `ip netns exec` mounts a /sys of its own, for its programs alone."""
    return ["mount -t tmpfs tmpfs /run && ip link set lo up || exit 125",
            "for own in sys sys/net sysrq-trigger; do mount --bind /proc/$own /proc/$own || exit 125; done",
            "for own in proc/sys proc/sysrq-trigger sys; do mount -o remount,bind,ro /$own || exit 125; done"]
