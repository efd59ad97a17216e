"""The benches of the lab. They run inside its kernel; tests/bench starts them there, with

    bench.py NAME... --json FILE [--repeat N]
    bench.py --table FILE

Each figure is a line of JSON on the standard output and in FILE; what a person wants to see meanwhile goes to
the standard error."""

import argparse
import contextlib
import json
import time

import bench_director
import bench_program
from lab import flood, tools
from lab.cluster import PORT, TAP, Cluster, all_alive, events, kernel_table, many_services, services, told_at
from lab.figures import Figures, lab, say
from lab.host import wait_for
from lab.measure import Stalls, cpu_seconds, handshakes, lags, percentile, resident_bytes
from lab.tools import program


def opened_by(t, count, family=4, deadline=None, **options):
    """A client with `count` established connections, when the last one is."""
    client = tools.connect(t.client, tools.endpoint(t.vip(family), PORT), count,
                           sources=t.client.addresses[family], **options)
    client.wait_event("open", deadline or 20 + count / (options.get("rate") or 500), count)
    return client


# lag

DISTURBED_MS = 20
LAG_RATES = {5: 100, 1000: 10000}  # new connections a second: how many of them


def bench_lag(figures, repeat):
    for mode in ("lvsmesh", "kernel-sync"):
        for rate, count in LAG_RATES.items():
            for run in range(repeat):
                undisturbed(figures, lambda: lag_run(figures, mode, rate, count, run))


def undisturbed(figures, measure):
    """Where other work on the machine stopped the whole lab for longer than what is measured takes, the run is
    repeated; the third one counts as it is."""
    for attempt in range(3):
        with figures.held() as held:
            stalled_ms = measure()
            if stalled_ms <= DISTURBED_MS or attempt == 2:
                return
            held.clear()
        say(f"the machine stood still for {stalled_ms} ms: once more")


def lag_run(figures, mode, rate, count, run):
    """One director takes all connections. Capture: their entries leave its kernel; replication: they enter
    the others'. Returns how long the machine stood still."""
    with lab() as t:
        cluster = Cluster(t, mode, families=[4]).start()
        for real in t.reals:
            tools.serve(real, PORT)
        first, *others = t.directors
        t.route([first])
        interface = TAP if mode == "lvsmesh" else "eth0"
        watchers = {d: tools.watch(d, interface) for d in t.directors}
        shakes = tools.watch(t.client, "eth0", "--handshakes")
        seen_by_poll = []
        stalls = Stalls(t.router)
        client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), count, rate=rate,
                               sources=t.client.addresses[4])
        started = time.monotonic()
        cpu = {d: cpu_seconds(p.popen.pid) for d, p in cluster.daemons.items()}
        if rate <= 10:
            poll(client, others[0], count, seen_by_poll)
        client.wait_event("open", 30 + count / rate, count)
        took = time.monotonic() - started
        cpu = {d: cpu_seconds(p.popen.pid) - cpu[d] for d, p in cluster.daemons.items()}
        stalled_ms = stalls.longest_ms()
        cluster.wait_replicated(count, 30)
        for watcher in [shakes, *watchers.values()]:
            assert watcher.stop() == 0 and watcher.events("end")[0]["dropped"] == 0
        opened = handshakes(shakes.events())
        assert len(opened) == count
        conditions = {"mode": mode, "rate": rate, "connections": count, "run": run,
                      "stalled_ms": stalled_ms}
        capture, missed = lags(opened, watchers[first].events("entry"), "out")
        report_lag(figures, "capture", capture, missed, conditions)
        for other in others:
            replication, missed = lags(opened, watchers[other].events("entry"), "in")
            report_lag(figures, "replication", replication, missed, {**conditions, "director": other.name})
        if rate <= 10:
            report_lag(figures, "polled_replication", seen_by_poll, count - len(seen_by_poll), conditions)
        for director, seconds in cpu.items():
            figures.write("cpu_percent", 100 * seconds / took, "%", **conditions, director=director.name)
        return stalled_ms


def report_lag(figures, what, values, missed, conditions):
    for p in (50, 99):
        figures.write(f"{what}_p{p}_ms", percentile(values, p), "ms", **conditions)
    figures.write(f"{what}_max_ms", max(values), "ms", **conditions)
    figures.write(f"{what}_missed", missed, "entries", **conditions)


def poll(client, director, count, ret_lags):
    """The same lag seen in another way, by reading the other kernel's table again and again."""
    waiting, known = {}, 0
    end = time.monotonic() + 60
    while len(ret_lags) < count and time.monotonic() < end:
        opened = client.events("open")
        waiting.update({(o["source"], o["port"]): o["at"] for o in opened[known:]})
        known = len(opened)
        if waiting:
            now = time.time_ns() // 1000
            for flow in kernel_table(director):
                at = waiting.pop(flow[1], None)
                if at is not None:
                    ret_lags.append((now - at) / 1000)
        time.sleep(0.002 if waiting else 0.01)


# survival

AGES_MS = (50, 100, 200)
RATE = 1000


def bench_survival(figures, repeat):
    for forwarding, family in (("direct", 4), ("direct", 6), ("nat", 4), ("nat", 6)):
        survival(figures, "lvsmesh", forwarding, family, AGES_MS, 500, repeat)
    for mode in ("kernel-sync", "ipvs"):
        survival(figures, mode, "direct", 4, (100, 1000) if mode == "kernel-sync" else (100,), 100, 1)


def survival(figures, mode, forwarding, family, ages_ms, count, repeat):
    with lab(forwarding=forwarding) as t:
        cluster = Cluster(t, mode, families=[family]).start()
        for real in t.reals:
            tools.serve(real, PORT)
        deaths = 0
        for age_ms in ages_ms:
            for run in range(repeat):
                survival_run(figures, cluster, t.directors[deaths % len(t.directors)], count, age_ms,
                             {"mode": mode, "scheduler": "rr", "forwarding": forwarding, "family": family,
                              "age_ms": age_ms, "rate": RATE, "run": run})
                deaths += 1


def survival_run(figures, cluster, carrier, count, age_ms, conditions):
    t = cluster.topology
    t.route([carrier])
    if t.forwarding == "nat":
        t.nat_gateway(carrier)
    client = opened_by(t, count, conditions["family"], rate=RATE)
    last = client.events("open")[-1]["at"]
    time.sleep(max(0, last / 1e6 + age_ms / 1e3 - time.time()))
    died = cluster.fail(carrier)
    report = tools.check(client)
    figures.write("opened", report["opened"], "connections", **conditions)
    figures.write("broken", report["broken"], "connections", **conditions,
                  died_after_ms=(died - last) // 1000)
    client.stop()
    cluster.revive(carrier)


# inject, sync

ENTRIES = 200000


@contextlib.contextmanager
def joined(count):
    """A director with an empty kernel has joined one that has `count` connections: gives their cluster, the two, and
    the seconds until all were injected, and until it took traffic."""
    with lab(directors=2) as t:
        cluster = Cluster(t, families=[4])
        full, empty = t.directors
        flood.pour(t, full, count, t.vip(4), PORT)
        cluster.start_director(full)
        wait_for(lambda: entries(cluster, full)["total"] == count, 300, "entries adopted", interval=0.1)
        cluster.wait_ready([full], 60)
        started = time.monotonic()
        cluster.start_director(empty)
        # The kernel's own list is not looked at meanwhile: reading it takes longer than what is measured.
        wait_for(lambda: entries(cluster, empty)["injected"] >= count, 120, "entries injected", interval=0.05)
        injected_s = time.monotonic() - started
        cluster.wait_ready([empty], 60)
        ready_s = time.monotonic() - started
        yield cluster, empty, injected_s, ready_s


def entries(cluster, director):
    status = cluster.status(director)
    return status["entries"] if status else {"total": 0, "injected": 0}


def bench_inject(figures, repeat):
    poured = {flood.flow(i) for i in range(ENTRIES)}
    for run in range(repeat):
        with joined(ENTRIES) as (cluster, director, injected_s, _):
            cpu = cpu_seconds(cluster.daemons[director].popen.pid)
            status = cluster.status(director)
            conditions = {"entries": ENTRIES, "run": run}
            figures.write("cpu_us_per_entry", 1e6 * cpu / ENTRIES, "us", **conditions)
            figures.write("injected", status["entries"]["injected"], "entries", **conditions)
            figures.write("injected_again", status["entries"]["inject_retries"], "entries", **conditions)
            # An entry that ends while the kernel's list is read makes it skip another one.
            present = {flow[1] for _ in range(3) for flow in kernel_table(director)}
            figures.write("present", len(present & poured), "entries", **conditions)
            figures.write("kernel_drops", status["counters"]["tap"]["inject_drops"], "messages", **conditions)
            figures.write("seconds", injected_s, "s", **conditions)


def bench_sync(figures, repeat):
    for run in range(repeat):
        with joined(ENTRIES) as (cluster, director, _, ready_s):
            cpu = {"receiver": cpu_seconds(cluster.daemons[director].popen.pid)}
            conditions = {"what": "join", "entries": ENTRIES, "run": run}
            memory = resident_bytes(cluster.daemons[director].popen.pid)
            figures.write("join_s", ready_s, "s", **conditions)
            figures.write("memory_bytes_per_entry", memory / ENTRIES, "bytes", **conditions)
            sync_figures(figures, cluster, director, ENTRIES, cpu, conditions)
        sync_run(figures, 20000, run)


def sync_run(figures, count, run):
    """One director's connections come as fast as the lab can open them."""
    with lab() as t:
        cluster = Cluster(t, families=[4]).start()
        for real in t.reals:
            tools.serve(real, PORT)
        t.route(t.directors[:1])
        pids = {"sender": cluster.daemons[t.directors[0]].popen.pid,
                "receiver": cluster.daemons[t.directors[1]].popen.pid}
        before = {role: cpu_seconds(pid) for role, pid in pids.items()}
        started = time.monotonic()
        opened_by(t, count)
        rate = count / (time.monotonic() - started)
        cluster.wait_replicated(count, 60)
        conditions = {"what": "steady", "entries": count, "run": run}
        figures.write("entries_per_s", rate, "1/s", **conditions)
        sync_figures(figures, cluster, t.directors[1], count,
                     {role: cpu_seconds(pid) - before[role] for role, pid in pids.items()}, conditions)


def sync_figures(figures, cluster, receiver, count, cpu, conditions):
    for role, seconds in cpu.items():
        figures.write("cpu_us_per_entry", 1e6 * seconds / count, "us", **conditions, role=role)
    received = sum(peer["receive"]["bytes"] for peer in cluster.lvsmesh(receiver, "peers", "--json")["peers"]
                   if peer["receive"])
    figures.write("wire_bytes_per_entry", received / count, "bytes", **conditions)


# idle

def bench_idle(figures, repeat):
    with lab() as t:
        cluster = Cluster(t).start()
        for run in range(repeat):
            seconds = 20
            before = {d: cpu_seconds(p.popen.pid) for d, p in cluster.daemons.items()}
            started = time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - started
            for d, p in cluster.daemons.items():
                figures.write("cpu_percent", 100 * (cpu_seconds(p.popen.pid) - before[d]) / took, "%",
                              director=d.name, seconds=seconds, run=run)
                figures.write("resident_bytes", resident_bytes(p.popen.pid), "bytes", director=d.name, run=run)


# membership

def bench_membership(figures, repeat):
    """Three directors: one is killed, another one leaves."""
    firsts, alls, leaves = [], [], []
    for run in range(5 * repeat):
        with lab(reals=1) as t:
            cluster = Cluster(t).start()
            lost = t.directors[run % 3]
            others = [d for d in t.directors if d is not lost]
            wait_for(lambda: all_alive(cluster, t.directors), 10, "all alive", interval=0.1)
            told = killed_to_told(cluster, lost, others)
            firsts.append(min(told))
            alls.append(max(told))
            leaver = others[0]
            left = time.time()
            cluster.lvsmesh(leaver, "leave", check=False)
            event = wait_for(lambda: events(cluster, others[1], "member-left"), 30, "it left", interval=0.1)[0]
            leaves.append(1000 * (told_at(event) - left))
    conditions = {"members": 3, "profile": "default", "ipvs": True}
    figures.write("detect_first_median_ms", percentile(firsts, 50), "ms", **conditions, kills=len(firsts))
    figures.write("detect_first_max_ms", max(firsts), "ms", **conditions, kills=len(firsts))
    figures.write("detect_all_max_ms", max(alls), "ms", **conditions, kills=len(alls))
    figures.write("leave_all_ms", max(leaves), "ms", **conditions, leaves=len(leaves))


def killed_to_told(cluster, lost, others):
    """ms from the kill of a daemon to each other director's event."""
    killed = time.time()
    cluster.kill_daemon(lost)
    return [1000 * (told_at(wait_for(lambda d=d: events(cluster, d, "member-failed"), 15, f"{d.name} is told",
                                     interval=0.1)[0]) - killed) for d in others]


# loop

LOOP_SERVICES, LOOP_REALS, LOOP_CONNECTIONS, LOOP_LOOK_S = 1000, 100, 100000, 60


def bench_loop(figures, repeat):
    """The longest turn of a director's loop, and the tail, while it has much to do."""
    for run in range(repeat):
        with lab(directors=1, reals=1) as t:
            director, = t.directors
            usual = services(t, [4])
            full = usual + many_services(LOOP_SERVICES, LOOP_REALS)
            cluster = Cluster(t, families=[4], services=full)
            conditions = {"services": LOOP_SERVICES, "reals": LOOP_REALS, "run": run}

            def measure(what, ended):
                """Until `ended` says so; the iterations of the 20 s before are written with it."""
                began = time.monotonic()
                most = dict.fromkeys(("iteration_recent_us", "iteration_recent_p999_us", "cpu_recent_us", "cpu_recent_p999_us"), 0)
                while True:
                    over = ended()
                    turns = (cluster.status(director) or {"loop": {}})["loop"]
                    most = {name: max(value, turns.get(name, 0)) for name, value in most.items()}
                    if over:
                        break
                    time.sleep(1)
                for name, value in most.items():
                    metric = name.replace("iteration", "turn").replace("_us", "_ms").replace("_recent_ms", "_max_ms").replace("_recent", "")
                    figures.write(metric, value / 1000, "ms", what=what, **conditions)
                figures.write("seconds", time.monotonic() - began, "s", what=what, **conditions)

            def command(what, *words):
                """Of one that runs beside what else it asks."""
                time.sleep(20)
                process = director.start([program("lvsmesh"), *words, "--control", cluster.control(director)])
                measure(what, lambda: not process.running())
                assert process.popen.returncode == 0, process.errors()

            def programmed():
                return cluster.daemons[director].running() and cluster.ready(director)

            cluster.start_director(director)
            measure("start", programmed)
            time.sleep(20)
            until = time.monotonic() + LOOP_LOOK_S
            measure("look", lambda: time.monotonic() > until)
            command("services", "services")
            command("status", "status")
            command("reload-same", "reload")
            cluster.write_config(director, services=usual + many_services(LOOP_SERVICES, LOOP_REALS, weight=7))
            command("reload", "reload")
            time.sleep(20)
            cluster.kill_daemon(director)
            director.run([program("lvsmeshd"), "-c", cluster.config(director), "--stop-threads"])
            flood.pour(t, director, LOOP_CONNECTIONS, t.vip(4), PORT)
            cluster.start_director(director, services=usual + many_services(LOOP_SERVICES, LOOP_REALS, weight=7))
            measure("adoption", lambda: entries(cluster, director)["total"] >= LOOP_CONNECTIONS and programmed())


# director

def bench_directors(figures, repeat):
    bench_director.bench(figures, repeat)
    bench_program.bench(figures, repeat)


# For a person

APART = ("run", "turn", "director", "died_after_ms", "stalled_ms")


def table(file):
    """Figures of the same conditions, but for the run and the director, become one row; beside the median of
    lvsmesh, how many times the kernel's own sync daemon has it."""
    rows = {}
    for line in map(json.loads, file):
        bench, metric, value, unit = (line.pop(k) for k in ("bench", "metric", "value", "unit"))
        where = tuple(f"{k}={v}" for k, v in line.items() if k not in APART)
        rows.setdefault((bench, metric, unit, where), []).append(value)
    cells = [("bench", "metric", "runs", "median", "worst", "sum", "unit", "kernel-sync", "conditions")]
    for (bench, metric, unit, where), values in rows.items():
        total = f"{sum(values):g}" if unit in ("connections", "entries", "messages") else ""
        peer = rows.get((bench, metric, unit, tuple(w.replace("=lvsmesh", "=kernel-sync") for w in where)), values)
        ratio = percentile(peer, 50) / percentile(values, 50) if peer is not values and percentile(values, 50) else 0
        cells.append((bench, metric, str(len(values)), f"{percentile(values, 50):g}", f"{max(values):g}", total, unit,
                      f"x {ratio:.1f}" if ratio > 0 else "", " ".join(where)))
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        print("  ".join(c.rjust(w) if i in (2, 3, 4, 5, 7) else c.ljust(w)
                        for i, (c, w) in enumerate(zip(row, widths))).rstrip())


BENCHES = {"lag": bench_lag, "survival": bench_survival, "inject": bench_inject, "sync": bench_sync,
           "idle": bench_idle, "membership": bench_membership, "loop": bench_loop, "director": bench_directors}


def main():
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--json", default="/dev/null")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--table", metavar="FILE")
    options = parser.parse_args()
    if options.table:
        with open(options.table) as file:
            return table(file)
    unknown = set(options.names) - set(BENCHES)
    if unknown:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    with open(options.json, "a") as file:
        figures = Figures(file)
        for name in options.names or BENCHES:
            figures.bench = name
            say(f"== {name}")
            BENCHES[name](figures, options.repeat)


if __name__ == "__main__":
    main()
