"""Events on their way to a program, a URL and `lvsmesh events`: real processes, a real HTTP server."""

import http.server
import json
import os
import queue
import ssl
import subprocess
import threading
import time

import pytest

WAIT = 30   # for what must happen
LATE = 5000 # ms: the loop turned meanwhile, on a machine that is busy with other things


def until(condition):
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Probe:
    def __init__(self, path, timeout, grace):
        self.socket = path / "sock"
        self.log = path / "log"
        environment = {key: value for key, value in os.environ.items()
                       if not key.lower().endswith("_proxy") and key != "JOURNAL_STREAM"}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([os.environ["ALERT_PROBE"], self.socket, str(timeout),
                                             str(grace)], text=True, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, env=environment)

    def __call__(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def happen(self, *subjects):
        for subject in subjects:
            assert self("raise", "member-joined", subject) == "1"

    def counters(self):
        words = self("counters").split()
        return {name: int(value) for name, value in zip(words[::2], words[1::2])}

    def count(self, name):
        return self.counters()[name]

    def close(self):
        """The exit status: not 0 when something was left on the loop, or a sanitizer complains."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
        return self.process.wait(WAIT)


def run(probe):
    probe("late")
    yield probe
    late = None if probe.process.stdin.closed else int(probe("late"))
    assert probe.close() == 0, probe.log.read_text()
    assert late is None or late < LATE


@pytest.fixture
def probe(tmp_path):
    yield from run(Probe(tmp_path, 20000, 20000))


@pytest.fixture
def hasty(tmp_path):
    yield from run(Probe(tmp_path, 2000, 500))


class Server:
    """Answers with what is next in `answers`: a status, or a function of the handler; then 200."""

    def __init__(self):
        self.bodies, self.answers = [], queue.Queue()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                assert self.headers["Content-Type"] == "application/json"
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.bodies.append((self.path, body))
                try:
                    answer = server.answers.get_nowait()
                except queue.Empty:
                    answer = 200
                if callable(answer):
                    answer(self)
                    return
                self.send_response(answer)
                if 300 <= answer < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *arguments):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook?x=1"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def subjects(self):
        return [body["subject"] for path, body in self.bodies]

    def close(self):
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


# The webhook

def test_webhook(probe, server):
    probe("webhook", server.url)
    assert probe("raise", "member-failed", "d2") == "1"
    assert probe("raise", "member-failed", "d2") == "0"
    assert probe("raise", "member-recovered", "d2") == "1"
    until(lambda: probe.count("alert-webhook/done") == 2)
    (path, opened), (_, closed) = server.bodies
    assert path == "/hook?x=1"
    assert opened["event"] == "member-failed" and opened["severity"] == "error"
    assert opened["director"] == "d1" and opened["fields"] == {"member": "d2"}
    assert opened["role"] == "opens" and closed["role"] == "closes"
    assert opened["incident"] == closed["incident"] == opened["id"] != closed["id"]
    assert probe.count("alert-webhook/retried") == 0
    assert "member-failed: It happened to d2." in probe.log.read_text()


def test_webhook_retries(probe, server):
    probe("webhook", server.url)
    for answer in 500, 503, 429:
        server.answers.put(answer)
    probe.happen("a", "b")
    until(lambda: probe.count("alert-webhook/done") == 2)
    assert server.subjects() == ["a", "a", "a", "a", "b"]
    assert len({body["id"] for path, body in server.bodies}) == 2
    log = probe.log.read_text()
    assert log.count("the webhook refuses events: HTTP status 500") == 1
    assert log.count("has recovered") == 1


def test_webhook_refuses(probe, server):
    probe("webhook", server.url)
    for answer in 400, 302:
        server.answers.put(answer)
    probe.happen("a", "b", "c")
    until(lambda: probe.count("alert-webhook/done") == 1)
    assert server.subjects() == ["a", "b", "c"]
    assert probe.count("alert-webhook/refused") == 2
    assert all(path == "/hook?x=1" for path, body in server.bodies)


def test_webhook_gives_up(probe, server):
    probe("webhook", server.url)
    for _ in range(5):
        server.answers.put(500)
    probe.happen("a", "b")
    until(lambda: probe.count("alert-webhook/done") == 1)
    assert server.subjects() == ["a"] * 5 + ["b"]
    assert probe.count("alert-webhook/given_up") == 1
    assert "given up" in probe.log.read_text()


def test_webhook_slow(hasty, server):
    release = threading.Event()
    server.answers.put(lambda handler: release.wait(WAIT))
    hasty("webhook", server.url)
    hasty.happen("a")
    until(lambda: hasty.count("alert-webhook/retried") == 1)
    until(lambda: hasty.count("alert-webhook/done") == 1)
    assert set(server.subjects()) == {"a"}
    release.set()


def endless(handler):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(65536))
    except OSError:
        handler.close_connection = True


def test_webhook_odd_answers(probe, server):
    """Cut off, no HTTP at all, and an answer without end."""
    def cut(handler):
        handler.close_connection = True

    def noise(handler):
        handler.wfile.write(b"\0" * 1000)
        handler.close_connection = True

    for answer in cut, noise, endless:
        server.answers.put(answer)
    probe("webhook", server.url)
    probe.happen("a", "b")
    until(lambda: probe.count("alert-webhook/done") == 2)
    assert server.subjects() == ["a", "a", "a", "b"]


def test_webhook_nobody(probe, server):
    server.close()
    probe("webhook", server.url)
    probe.happen("a")
    until(lambda: probe.count("alert-webhook/given_up") == 1)


def test_webhook_name_server_hangs(hasty):
    hasty("webhook", "http://slow.test/hook")
    hasty.happen("a")
    until(lambda: hasty.count("alert-webhook/retried") == 1)


def test_webhook_verifies(probe, server, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1", "-keyout",
                    tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    server.http.handle_error = lambda *arguments: None
    probe("webhook", f"https://127.0.0.1:{server.port}/")
    probe.happen("a")
    until(lambda: probe.count("alert-webhook/given_up") == 1)
    assert server.bodies == []
    assert "certificate" in probe.log.read_text()


def test_webhook_changes(probe, server):
    """Another URL gets what the first did not take; without one there is nothing to tell."""
    other = Server()
    for _ in range(3):
        server.answers.put(500)
    probe("webhook", server.url)
    probe.happen("a")
    until(lambda: len(server.bodies) >= 1)
    probe("webhook", other.url)
    until(lambda: probe.count("alert-webhook/done") == 1)
    assert "a" in server.subjects() + other.subjects()
    probe("webhook")
    probe.happen("b")
    probe("webhook", other.url)
    probe.happen("c")
    until(lambda: probe.count("alert-webhook/done") == 2)
    assert "b" not in server.subjects() + other.subjects()
    assert other.subjects()[-1] == "c"
    other.close()


def test_webhook_lost(probe, server):
    """While a server is stuck what waits is bounded, and what is lost is counted."""
    release = threading.Event()
    server.answers.put(lambda handler: release.wait(WAIT) and handler.send_error(500))
    probe("webhook", server.url)
    for number in range(320):
        probe.happen(f"d{number}")
    release.set()
    until(lambda: probe.count("alert-webhook/done") + probe.count("alert-webhook/lost") == 320)
    assert probe.count("alert-webhook/lost") > 50
    assert server.subjects()[-1] == "d319"


# The program

def test_exec(probe, tmp_path):
    out = tmp_path / "out"
    probe("exec", script(tmp_path / "alert", f'cat /dev/stdin >>{out}; echo "$@" >>{out}\n'),
          "--page", "ops")
    probe.happen("a", "b")
    until(lambda: probe.count("alert-exec/done") == 2)
    lines = out.read_text().splitlines()
    assert [json.loads(lines[0])["subject"], json.loads(lines[2])["subject"]] == ["a", "b"]
    assert lines[1] == lines[3] == "--page ops"


def test_exec_inherits_nothing(probe, server, tmp_path):
    out = tmp_path / "out"
    probe("webhook", server.url)
    probe.happen("a")
    until(lambda: probe.count("alert-webhook/done") == 1)
    probe("exec", script(tmp_path / "alert", f"readlink /proc/$$/fd/* >{out}\n"))
    probe.happen("b")
    until(lambda: probe.count("alert-exec/done") + probe.count("alert-exec/failed") == 1)
    listed = out.read_text()
    assert "memfd:event" in listed and "socket:" not in listed


def test_exec_fails(probe, tmp_path):
    probe("exec", script(tmp_path / "alert", "echo no mail today >&2; exit 3\n"))
    probe.happen("a")
    until(lambda: probe.count("alert-exec/failed") == 1)
    assert "failed with status 3: no mail today" in probe.log.read_text()
    probe("exec", tmp_path / "missing")
    probe.happen("b", "c")
    until(lambda: probe.count("alert-exec/failed") == 3)
    assert "did not start: no such file" in probe.log.read_text()
    probe("exec", "/bin/true")
    probe.happen("d")
    until(lambda: probe.count("alert-exec/done") == 1)


@pytest.mark.parametrize("after", ["/bin/true", None])
def test_exec_fails_after_a_reload(probe, tmp_path, after):
    """Who failed is told by the name of the program that ran, not of the one that is configured now."""
    go, pid = tmp_path / "go", tmp_path / "pid"
    first = script(tmp_path / "first", f"echo $$ >{pid}; until [ -e {go} ]; do sleep 0.01; done; exit 7\n")
    probe("exec", first)
    probe.happen("a")
    until(pid.exists)
    probe("exec", *([after] if after else []))
    go.touch()
    until(lambda: probe.count("alert-exec/failed") == 1)
    assert f"the alert program {first} failed with status 7" in probe.log.read_text()


def test_exec_hangs(hasty, tmp_path):
    """It is killed with all that it started, and the next event has its turn."""
    pid = tmp_path / "pid"
    hasty("exec", script(tmp_path / "alert", f"""
case "$(cat)" in *'"a"'*) sleep 1000 & echo $! >{pid}; wait;; esac
"""))
    hasty.happen("a", "b")
    until(lambda: hasty.count("alert-exec/done") == 1)
    assert hasty.count("alert-exec/timed_out") == 1
    until(lambda: not os.path.exists(f"/proc/{pid.read_text().strip()}") or "Z" in
          open(f"/proc/{pid.read_text().strip()}/stat").read().split()[2])
    assert "was killed after 2000 ms" in hasty.log.read_text()


def test_exec_prints_without_end(probe, tmp_path):
    probe("exec", script(tmp_path / "alert", "yes >&2; echo on >&2; exit 0\n"))
    probe.happen("a")
    until(lambda: probe.count("alert-exec/done") == 1)


def test_exec_does_not_read(probe):
    probe("exec", "/bin/true")
    probe.happen(*(f"d{number}" for number in range(20)))
    until(lambda: probe.count("alert-exec/done") == 20)


def test_both(hasty, server, tmp_path):
    hasty("exec", script(tmp_path / "alert", "sleep 1000\n"))
    hasty("webhook", server.url)
    hasty.happen("a")
    until(lambda: hasty.count("alert-webhook/done") == 1)
    until(lambda: hasty.count("alert-exec/timed_out") == 1)


# At the end

def test_last_words(probe, server, tmp_path):
    """What was raised just before the end is told."""
    out = tmp_path / "out"
    probe("exec", script(tmp_path / "alert", f"cat >>{out}\n"))
    probe("webhook", server.url)
    probe.happen("a", "b")
    assert probe.close() == 0
    assert server.subjects() == ["a", "b"]
    assert len(out.read_text().splitlines()) == 2


def test_end_is_not_held_up(hasty, server, tmp_path):
    server.close()
    hasty("exec", script(tmp_path / "alert", "sleep 1000\n"))
    hasty("webhook", server.url)
    hasty.happen(*(f"d{number}" for number in range(50)))
    started = time.monotonic()
    assert hasty.close() == 0
    assert time.monotonic() - started < WAIT


# lvsmesh events

def lvsmesh(probe, *arguments):
    return [os.environ["LVSMESH"], "events", *arguments, "--control", probe.socket]


def test_events(probe):
    probe.happen("a", "b")
    text = subprocess.run(lvsmesh(probe), capture_output=True, text=True, check=True).stdout
    first, second = text.splitlines()
    assert "member-joined" in first and "It happened to a." in first
    assert "[single d1-9-2]" in second
    document = json.loads(subprocess.run(lvsmesh(probe, "--json"), capture_output=True,
                                         check=True).stdout)
    assert [event["subject"] for event in document["events"]] == ["a", "b"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_events_follow(probe, form):
    arguments = ["--follow"] + (["--json"] if form == "json" else [])
    probe.happen("a")
    with subprocess.Popen(lvsmesh(probe, *arguments), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as follower:
        for subject in "a", "b", "c":
            if subject != "a":
                probe.happen(subject)
            line = follower.stdout.readline()
            if form == "json":
                assert json.loads(line)["subject"] == subject
            else:
                assert f"It happened to {subject}." in line
        assert probe.close() == 0
        assert follower.wait(WAIT) == 1
        assert "lost the connection" in follower.stderr.read()
