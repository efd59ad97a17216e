"""A cluster with checked services, and all that is to be seen of it from outside."""

from . import health, pace, tools
from .cluster import PORT, Cluster
from .host import wait_for

SKEW_S = 0.5


class Tended:
    """A cluster whose services are checked, its real servers, a client that asks all the time, and all directors' weights.

    port: another one than that of the checks; then somebody else serves there, and nobody asks."""

    def __init__(self, topology, check=health.CHECK, family=4, port=PORT, **options):
        self.t = topology
        self.check = check
        self.family = family
        self.port = port
        self.reals = health.start_reals(topology, PORT)
        self.cluster = Cluster(topology, families=[family], port=port, check={**check, "port": PORT}, **options).start()
        self.watch = health.Watch(topology.directors)
        if port == PORT:
            self.asking = health.Asking(topology.client, topology.vip(family), PORT)
            self.asking.wait_more(0, 8)

    def endpoint(self, name):
        return tools.endpoint(health.address_of(self.t, name, self.family), self.port)

    def wait(self, since, name, *weights, **options):
        return self.watch.wait(since, self.endpoint(name), *weights, **options)

    def taken_out(self, since, name, weight=0):
        """All directors take it out in time and together."""
        bound = pace.scaled(health.detection(self.check))
        when = self.wait(since, name, weight, deadline=bound + 2)
        took = max(when.values()) - since
        assert took <= bound, f"{took:.2f} s"
        assert health.skew(when) <= pace.scaled(SKEW_S), when
        return max(when.values())

    def not_asked(self, since, name):
        """Connections that begin from then on go elsewhere, and succeed."""
        self.asking.wait_more(since + 0.05, 40)
        assert name not in self.asking.who(since + 0.05)
        assert not self.asking.failures(since + 0.05)

    def asked_again(self, since, name, weight=1):
        when = self.wait(since, name, weight, deadline=15)
        wait_for(lambda: name in self.asking.who(max(when.values())), 5, f"{name} is asked again")

    def unchanged(self, since, *names):
        """No director changed a weight of any other real server."""
        own = {self.endpoint(name) for name in names}
        changed = [change for change in self.watch.since(since) if change[2][1] not in own]
        assert not changed, [(round(c[0] - since, 2), *c[1:]) for c in changed]
