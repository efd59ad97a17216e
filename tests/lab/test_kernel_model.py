"""The simulations' model of IPVS does with persistence templates what a kernel does: both are given the same messages and
connections, and are then alike."""

import subprocess
import time
from ipaddress import ip_address

import pytest

from lab import tools
from lab.host import wait_for
from lab.sync import DIRECT, INACTIVE, Entry, Tun, pack, unpack
from test_lab import PORT

TEMPLATE, GIVEN_UP = 0x1000, 0xffff
MARK, PERSISTENCE = 7, 300
OTHER = "10.100.0.99"  # a client that sends nothing


class Model:
    """tests/sim/kernel_model, whose time is the kernel's."""

    def __init__(self):
        self.began = time.monotonic()
        self.program = subprocess.Popen([tools.program("kernel_model")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.reported = []

    def tell(self, *words):
        """The words of each line of the answer."""
        print(*words, file=self.program.stdin, flush=True)
        return [line.split() for line in iter(self.program.stdout.readline, ".\n")]

    def at(self):
        return int((time.monotonic() - self.began) * 1e6)

    def take(self, command, *entries):
        self.tell(command, self.at(), pack(entries).hex())

    def state(self):
        """({(client, port, VIP, port): (real server, port, s left)}, {(mark, real server): counts})"""
        lines = self.tell("list", self.at())
        self.reported += [w[1:] for w in lines if w[0] == "reported"]
        return ({(w[1], int(w[2]), w[3], int(w[4])): (w[5], int(w[6]), int(w[8])) for w in lines if w[0] == "entry"},
                {(int(w[1]), w[2]): tuple(map(int, w[3:])) for w in lines if w[0] == "count"})


class Both:
    """A director's kernel, without lvsmesh, and the model."""

    def __init__(self, t):
        self.t, self.d, self.model = t, t.directors[0], Model()
        self.tun = Tun(self.d)
        rules = ""
        for mark in (0, MARK):
            service = f"-f {mark}" if mark else f"-t {t.vip(4)}:{PORT}"
            rules += f"-A {service} -s rr -p {PERSISTENCE}\n"
            self.model.tell("service", t.vip(4), PORT, mark, PERSISTENCE)
            for real in self.reals:
                rules += f"-a {service} -r {real}:{0 if mark else PORT} -g -w 1\n"
                self.model.tell("real", real, 0 if mark else PORT)
        self.d.sysctl(net__ipv4__vs__sync_threshold="0 0", net__ipv4__vs__sync_refresh_period=10)
        t.add_vips(self.d)
        self.d.run(["ipvsadm", "-R"], text=rules)
        self.tun.start()
        for real in t.reals:
            tools.serve(real, PORT)

    @property
    def reals(self):
        return [r.address[4] for r in self.t.reals[:-1]]

    @property
    def missing(self):
        """A host that no service has for a real server."""
        return self.t.reals[-1].address[4]

    def inject(self, *entries):
        self.tun.inject(*entries)
        self.model.take("inject", *entries)

    def connect(self, source):
        """A connection of the client's; by a template that there is, the model's scheduler would choose another real server."""
        client = tools.connect(self.t.client, tools.endpoint(self.t.vip(4), PORT), 1, sources=[source])
        opened = client.wait_event("open")
        key = (source, opened["port"], self.t.vip(4), PORT)
        real = wait_for(lambda: self.table().get(key), what="the connection")[0]
        held = self.model.state()[0].get((source, 0, self.t.vip(4), PORT))
        if held and held[0] in self.reals:
            real = next(r for r in self.reals if r != held[0])
        self.model.take("connect", self.entry(source, opened["port"], real))
        return client, opened["port"]

    def entry(self, source, port, real, **fields):
        return Entry(source, port, self.t.vip(4), PORT, real, PORT, **fields)

    def template(self, source, real, **fields):
        return self.entry(source, 0, real, **{"state": 1, "timeout": PERSISTENCE, "flags": DIRECT | TEMPLATE, **fields})

    def table(self):
        def address(text):
            return str(ip_address(int(text, 16)))
        found = {}
        for w in map(str.split, self.d.read("/proc/net/ip_vs_conn").splitlines()[1:]):
            if int(w[4], 16) != GIVEN_UP:
                found[address(w[1]), int(w[2], 16), address(w[3]), int(w[4], 16)] = (
                    address(w[5]), int(w[6], 16), int(w[8]))
        return found

    def counts(self):
        found, mark = {}, 0
        for w in map(str.split, self.d.run("ipvsadm -Ln --persistent-conn").splitlines()[3:]):
            if w[0] == "->":
                found[mark, w[1].rsplit(":", 1)[0]] = tuple(map(int, w[3:6]))
            else:
                mark = int(w[1]) if w[0] == "FWM" else 0
        return found

    def alike(self):
        kernel, (model, counts) = self.table(), self.model.state()
        return (kernel.keys() == model.keys() and all(kernel[k][:2] == model[k][:2] for k in kernel) and
                all(abs(kernel[k][2] - model[k][2]) <= 2 for k in kernel) and self.counts() == counts and kernel)

    def agree(self, deadline=5):
        """The table on which they agree."""
        try:
            return wait_for(self.alike, deadline, "the model is as the kernel", 0.05)
        except AssertionError:
            assert (self.table(), self.counts()) == self.model.state()
            raise


@pytest.fixture
def both(topology):
    both = Both(topology(directors=1, reals=4))
    yield both
    both.tun.close()


def test_templates(both):
    source = both.t.client.addresses[4][0]
    key = source, 0, both.t.vip(4), PORT
    clients, ports = zip(*[both.connect(source) for _ in range(3)])
    real = both.agree()[key][0]
    other, third = [r for r in both.reals if r != real]

    # It is refreshed, not replaced.
    both.inject(both.template(source, other, timeout=200))
    wait_for(lambda: both.table()[key][2] <= 200, what="the other timeout")
    assert both.agree()[key][0] == real

    # While it controls connections it does not end, and is reported.
    both.inject(both.template(source, other, timeout=1))
    wait_for(lambda: both.table()[key][2] in range(40, 61), what="another minute")
    assert both.agree()[key][0] == real
    assert [w[:5] for w in both.model.reported] == [[source, "0", both.t.vip(4), str(PORT), real]]

    def reported():
        while (message := both.tun.read(0)):
            for e in unpack(message):
                if e.cport == 0 and e.timeout == 60:
                    return e
        return None
    assert wait_for(reported, 5, "the kernel's report").daddr == real

    # Connections that were replaced have none; then it ends, and the other one comes.
    detached = []
    for port in ports:
        lives = both.entry(source, port, real)
        detached += [lives._replace(dport=1), lives]
    both.inject(*detached, both.template(source, other, timeout=1))
    wait_for(lambda: key not in both.table(), what="the end of the template")
    assert len(both.agree()) == 3
    both.inject(both.template(source, other))
    assert both.agree()[key][0] == other
    clients += (both.connect(source)[0],)
    table = both.agree()
    assert [sum(r[0] == x for k, r in table.items() if k[1]) for x in (real, other, third)] == [3, 1, 0]
    assert sum(tools.check(c)["broken"] for c in clients) == 0


def test_of_no_real_server(both):
    """One that nothing could be bound to is held, not counted, and given up when its client comes."""
    source = both.t.client.addresses[4][0]
    key = source, 0, both.t.vip(4), PORT
    both.inject(both.template(source, both.missing), both.entry(source, 999, both.missing))
    assert both.agree()[key][0] == both.missing
    client, _ = both.connect(source)
    assert both.agree()[key][0] in both.reals
    assert tools.check(client)["broken"] == 0


def test_what_is_injected(both):
    """Without a timeout; of a mark, which finds its service by what the message says; the end of a connection, and that
    of one which went elsewhere."""
    first, second, _ = both.reals
    marked = both.template(OTHER, first, protocol=0)._replace(vaddr=str(ip_address(MARK)), vport=0, dport=0, fwmark=MARK)
    ended = both.entry(OTHER, 1001, first, state=4, timeout=120, flags=DIRECT | INACTIVE)
    both.inject(both.template(OTHER, first, timeout=0), marked, marked._replace(caddr="10.100.0.98", fwmark=0), ended,
                ended._replace(daddr=second), both.entry(OTHER, 1002, second, timeout=0))
    table = both.agree()
    assert 170 <= table[OTHER, 0, both.t.vip(4), PORT][2] <= 180
    assert table[OTHER, 0, str(ip_address(MARK)), 0][0] == first
    assert table[OTHER, 1001, both.t.vip(4), PORT][0] == first
    assert 890 <= table[OTHER, 1002, both.t.vip(4), PORT][2] <= 900
