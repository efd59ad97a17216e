"""lvsmesh(1) against the JSON that the programs print: each key is in its section, and no other."""

import re
from pathlib import Path

from lab.cluster import Cluster
from lab.host import wait_for

from test_daemon import open_connections

PAGE = Path(__file__).parents[2] / "deploy/man/lvsmesh.1"
KEY = re.compile(r"[a-z][a-z0-9_-]*")
PARTITION = {"cut", "directors", "pairs"}  # of a partial partition, else null


def section(name):
    text = PAGE.read_text().replace("\\-", "-")
    return re.search(rf"^\.SS {re.escape(name)}\n(.*?)(?=^\.S[SH] |\Z)", text, re.M | re.S)[1]


def described(*names):
    """The words in italics, which are keys in these sections."""
    keys = set()
    for macro, rest in re.findall(r"^\.(I|IR|RI) (.*)$", "".join(map(section, names)), re.M):
        words = re.findall(r'"[^"]*"|\S+', rest)
        keys |= set(words if macro == "I" else words[macro == "RI"::2])
    return {key for key in keys if KEY.fullmatch(key)}


def keys(value, leave=()):
    if isinstance(value, list):
        return set().union(*(keys(item, leave) for item in value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(keys(item, leave) for name, item in value.items() if name not in leave))


def test_json(topology):
    t = topology(directors=2)
    cluster = Cluster(t, families=[4], check={"type": "ping"}).start()
    first = t.directors[0]
    open_connections(t, 4, 3)
    cluster.wait_replicated(3)
    cluster.lvsmesh(first, "set", t.reals[0].address[4], "weight", "7")

    def printed(command, leave=()):
        return keys(cluster.lvsmesh(first, command, "--json"), leave)

    wait_for(lambda: "counted" in printed("services"), 20, "a checker's result", 0.1)
    assert keys(cluster.status(first), leave=["incidents"]) | PARTITION == described("status", "counters")
    for command in "members", "peers", "services", "connections", "reload":
        assert printed(command) == described(command), command
    for command in "drain", "undrain":
        assert printed(command) == described("drain, undrain, leave") | {command}
    wait_for(lambda: cluster.lvsmesh(first, "events", "--json")["events"], 20, "an event", 0.1)
    assert printed("events", leave=["fields"]) | {"lasted_s", "missed"} == described("events")
