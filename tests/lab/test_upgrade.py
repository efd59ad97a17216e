"""Directors are upgraded one by one to a program that speaks the next version of the protocol, under traffic. The
scheduler is rr: only replicated entries keep a connection alive when it moves."""

from lab import tools
from lab.cluster import PORT, Cluster, all_alive, events, members
from lab.host import wait_for
from test_membership import BAD

COUNT = 60
OLD, NEXT = [1, 1], [1, 2]


def spoken(cluster, director):
    """{peer: version of the streams with it}."""
    return {p["name"]: p["protocol_version"] for p in cluster.lvsmesh(director, "peers", "--json")["peers"] if p["connected"]}


def test_one_by_one(topology):
    t = topology()
    cluster = Cluster(t, families=[4]).start()
    for real in t.reals:
        tools.serve(real, PORT)
    client = tools.connect(t.client, tools.endpoint(t.vip(4), PORT), COUNT, interval=100,
                           sources=t.client.addresses[4])
    client.wait_event("open", 20, COUNT)
    cluster.wait_replicated(COUNT)
    speaks = {d: OLD for d in t.directors}
    for director in t.directors:
        assert cluster.stop_daemon(director) == 0
        cluster.programs[director] = "lvsmeshd_next"
        cluster.start_director(director)
        cluster.wait_ready([director])
        speaks[director] = NEXT
        wait_for(lambda: all_alive(cluster, t.directors), 10, "all are alive", interval=0.1)
        for d in t.directors:
            others = [o for o in t.directors if o is not d]
            assert {o.name: members(cluster, d)[o.name]["protocol_versions"] for o in t.directors} == \
                {o.name: speaks[o] for o in t.directors}
            common = {o.name: min(speaks[d][1], speaks[o][1]) for o in others}
            wait_for(lambda d=d, common=common: spoken(cluster, d) == common, 10, "streams in the common version")
            assert not events(cluster, d, *BAD), events(cluster, d)
        # Now it carries all of it, by what the others have told it, and the others learn from it.
        t.route([director])
        assert tools.check(client)["broken"] == 0
    report = tools.check(client)
    assert (report["open"], report["broken"]) == (COUNT, 0)
