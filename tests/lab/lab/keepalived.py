"""Debian's keepalived on directors: the same services, checked by itself. No VRRP, and no VIPs: it programs IPVS."""

_FORWARDING = {"direct": "DR", "tunnel": "TUN", "nat": "NAT"}

# Every check of it that is comparable: three failures in a row, a second apart, each known after a second at most.
SETTINGS = dict(interval_s=1, retries=2, timeout_s=1)


def _split(address):
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), port


def _check(kind, interval_s, retries, timeout_s):
    timing = f"connect_timeout {timeout_s}\n retry {retries}\n delay_before_retry {interval_s}\n"
    if kind == "tcp":
        return f"TCP_CHECK {{\n {timing}}}\n"
    return f"HTTP_GET {{\n url {{\n path /healthz\n status_code 200\n }}\n {timing}}}\n"


def configuration(services, kind, **settings):
    """kind: tcp or http."""
    settings = {**SETTINGS, **settings}
    text = "global_defs {\n script_user root\n}\n"
    for service in services:
        text += "virtual_server {} {} {{\n".format(*_split(service["address"]))
        text += (f"delay_loop {settings['interval_s']}\nlvs_sched {service['scheduler']}\n"
                 f"lvs_method {_FORWARDING[service['forwarding']]}\nprotocol TCP\n")
        for real in service["real-servers"]:
            text += "real_server {} {} {{\n weight 1\n inhibit_on_failure\n".format(*_split(real["address"]))
            text += _check(kind, **settings) + "}\n"
        text += "}\n"
    return text


class Keepalived:
    def __init__(self, topology, services, kind, **settings):
        self.directory = topology.directory
        self.text = configuration(services, kind, **settings)
        self.services = services

    def start(self, director):
        file = self.directory / f"{director.name}-keepalived.conf"
        file.write_text(self.text)
        pids = [self.directory / f"{director.name}-{what}.pid" for what in ("keepalived", "vrrp", "checkers")]
        return director.start(["keepalived", "--dont-fork", "--no-syslog", "--log-console", "--log-detail", "--check", "-f", file,
                               "-p", pids[0], "-r", pids[1], "-c", pids[2]], name="keepalived")
