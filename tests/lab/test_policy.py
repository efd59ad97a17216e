"""What is replicated: services that are not, and flows that are too young."""

import time

from lab import pace, tools
from lab.cluster import PORT, Cluster, kernel_table, services
from lab.host import wait_for

OFF_PORT = 81
MIN_AGE = int(pace.scaled(2))


def flows(director, port):
    return {flow for flow in kernel_table(director) if flow[2][1] == port}


def not_replicated(cluster, director):
    listed = cluster.lvsmesh(director, "connections", "--json")["connections"]
    return sum(not c["replicated"] for c in listed)


def test_off_and_min_age(topology):
    """A flow comes to the others at its age and not before, one of a service that is off does not, until it is on."""
    t = topology(directors=2)
    web, quiet = services(t, families=[4]), services(t, families=[4], port=OFF_PORT, sync="off")
    quiet[0]["name"] = "quiet"
    cluster = Cluster(t, services=web + quiet)
    first, second = t.directors
    cluster.start_director(first, sync={"min-age": f"{MIN_AGE}s"})
    cluster.start_director(second)
    cluster.wait_ready()
    for real in t.reals:
        tools.serve(real, PORT, OFF_PORT)
    t.route([first])
    began = time.monotonic()
    for port in PORT, OFF_PORT:
        tools.connect(t.client, tools.endpoint(t.vip(4), port), 10).wait_event("open", 10, 10)
    wait_for(lambda: not_replicated(cluster, first) == 20, 5, "all are known where they are carried")
    wait_for(lambda: flows(second, PORT), 10, "the first is old enough")
    assert time.monotonic() - began >= MIN_AGE
    wait_for(lambda: len(flows(second, PORT)) == 10, 5, "all are")
    assert not_replicated(cluster, first) == 10 and not flows(second, OFF_PORT)
    assert cluster.status(first)["entries"]["local_total"] == 10
    del quiet[0]["sync"]
    cluster.write_config(first)
    cluster.lvsmesh(first, "reload")
    wait_for(lambda: len(flows(second, OFF_PORT)) == 10, 5, "the service is replicated")
    assert not_replicated(cluster, first) == 0
