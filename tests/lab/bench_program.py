"""Many services: how soon a director that starts has programmed all of them, what a reload that changes nothing costs and writes,
and what one weight does."""

import time

from lab.cluster import Cluster, many_services
from lab.host import wait_for
from lab.measure import cpu_seconds
from lab.topology import Topology, settle

SERVICES, REALS = 1000, 100
CHANGES = 10
# Their tables are made anew with each real server that is added.
SCHEDULERS = ("rr", "wrr", "mh")


def programmed(cluster, director):
    status = cluster.status(director)
    return status and status["services"]["programmed"] and status["services"]


def writes(cluster, director):
    return cluster.status(director)["services"]["messages"]


def bench(figures, repeat):
    for scheduler in SCHEDULERS:
        for run in range(repeat):
            settle()
            with Topology(directors=1, reals=1) as t:
                bench_run(figures, t, [{**s, "scheduler": scheduler} for s in many_services(SERVICES, REALS)],
                          {"scheduler": scheduler, "services": SERVICES, "reals": REALS, "run": run})


def bench_run(figures, t, services, conditions):
    d, = t.directors
    cluster = Cluster(t, services=services)

    def write(metric, value, unit):
        figures.write(metric, value, unit, **conditions)

    began = time.monotonic()
    cluster.start_director(d)
    wait_for(lambda: programmed(cluster, d), 300, "all is programmed", 0.25)
    write("program_s", time.monotonic() - began, "s")
    write("program_cpu_s", cpu_seconds(cluster.daemons[d].popen.pid), "s")
    write("program_writes", writes(cluster, d), "messages")
    cluster.wait_ready()
    time.sleep(20)
    before, cpu, began = writes(cluster, d), cpu_seconds(cluster.daemons[d].popen.pid), time.monotonic()
    cluster.lvsmesh(d, "reload")
    write("reload_s", time.monotonic() - began, "s")
    write("reload_cpu_s", cpu_seconds(cluster.daemons[d].popen.pid) - cpu, "s")
    write("reload_writes", writes(cluster, d) - before, "messages")
    before, slowest = writes(cluster, d), 0
    for weight in range(2, CHANGES + 2):
        address = services[weight]["real-servers"][weight]["address"]
        began = time.monotonic()
        cluster.lvsmesh(d, "set", services[weight]["name"], address, "weight", str(weight))
        wait_for(lambda w=weight: writes(cluster, d) - before >= w - 1, 30, "it is written", 0.005)
        slowest = max(slowest, time.monotonic() - began)
    write("weight_writes", (writes(cluster, d) - before) / CHANGES, "messages")
    write("weight_max_s", slowest, "s")
