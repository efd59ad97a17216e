"""The whole story, once and small: what must go on every kernel that lvsmesh is to run on. `tests/run stock` runs this file
on a stock kernel with several processors, where emulation makes everything slow: nothing here is about how long it takes."""

import os
import re
import subprocess

from lab import tools
from lab.cluster import PORT, Cluster, kernel_table
from lab.host import wait_for

COUNTS = {4: 40, 6: 20}
ALL = sum(COUNTS.values())


def connect(t):
    """Connections of both families, through the directors that the router uses."""
    clients = [tools.connect(t.client, tools.endpoint(t.vip(family), PORT), count, sources=t.client.addresses[family])
               for family, count in COUNTS.items()]
    for client, count in zip(clients, COUNTS.values()):
        client.wait_event("open", 20, count)
    return clients


def broken(clients):
    return sum(report["broken"] + report["failed"] for report in map(tools.check, clients))


def test_the_whole_story(topology):
    t = topology(directors=3, reals=2)
    first, second, third = t.directors
    cluster = Cluster(t).start()
    for real in t.reals:
        tools.serve(real, PORT)

    # Captured in one kernel, injected into two.
    t.route([first])
    clients = connect(t)
    cluster.wait_replicated(ALL)
    assert len(kernel_table(third)) == ALL

    cluster.fail(first)
    assert broken(clients) == 0
    cluster.revive(first, empty=True, reroute=False)
    cluster.wait_replicated(ALL)
    t.route([first])
    assert broken(clients) == 0

    # Without a daemon the kernel goes on, and the daemon finds it as it left it.
    assert cluster.stop_daemon(first) == 0
    assert broken(clients) == 0
    cluster.start_director(first)
    cluster.kill_daemon(second)
    cluster.start_director(second)
    cluster.wait_ready()
    cluster.wait_replicated(ALL)
    t.route([second])
    assert broken(clients) == 0

    for director in t.directors:
        wait_for(lambda d=director: "All is well." in cluster.lvsmesh(d, "status", check=False), 20,
                 f"{director.name} is well", interval=0.2)
    for director in t.directors:
        assert cluster.stop_daemon(director) == 0


def test_the_kernel_does_not_complain():
    """Last: of all that ran before."""
    if os.environ["LVSMESH_IN_LAB"] == "host":
        return
    log = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    assert not re.findall(r".*(?:BUG:|WARNING:|Call Trace|rcu.*stall|hung task|unregister_netdevice).*", log)
