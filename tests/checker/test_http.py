"""HTTP, HTTPS and gRPC checks against servers that misbehave."""

import pytest

from probe import one, prompt, run, said
from servers import OK_200, Server, answer, drip, flood, http, http2, page, port_closed, request_read, reset, silent, tls_context

OK = {"type": "http", "path": "/healthz", "statuses": [[200, 299]]}


@pytest.fixture
def good():
    with Server(http(lambda *_: page(200))) as server:
        yield server


def healthz(method, path, headers):
    """Only the path is wrong on a server that answers everything else with 200."""
    return page(503) if path == "/healthz" else page(200)


def test_status(good):
    with Server(http(healthz)) as bad:
        results, counts = run(OK | {"port": good.port}, OK | {"port": bad.port}, OK | {"port": bad.port, "path": "/"},
                              OK | {"port": bad.port, "statuses": [[200, 299], [503, 503]]}, OK | {"port": port_closed()})
        assert [said(result) for result in results] == [
            ("up", "HTTP status 200"), ("down", "HTTP status 503, expected 200-299"), ("up", "HTTP status 200"),
            ("up", "HTTP status 503"), ("down", "connection refused")]
        assert prompt(counts, *results)
        assert counts["ok"] == 3 and counts["answer"] == 1 and counts["refused"] == 1


def test_request():
    seen = []

    def serve(method, path, headers):
        seen.append((method, path, headers))
        return page(200)

    with Server(http(serve)) as server, Server(http(serve), "::1") as server6:
        run(OK | {"port": server.port, "host": "www.example.org", "path": "/a?b=c", "headers": ["X-Check: 1", "User-Agent: me"]},
            OK | {"port": server.port, "method": "HEAD"}, OK | {"port": server.port, "method": "OPTIONS"},
            OK | {"port": server6.port, "address": "::1"})
    seen = {method + path: headers for method, path, headers in seen if "[" not in headers["host"]}
    assert seen["GET/a?b=c"]["host"] == "www.example.org"
    assert seen["GET/a?b=c"]["x-check"] == "1" and seen["GET/a?b=c"]["user-agent"] == "me"
    assert seen["HEAD/healthz"]["host"] == f"127.0.0.1:{server.port}"
    assert "OPTIONS/healthz" in seen


def test_no_proxy_of_the_environment(good):
    nowhere = f"http://127.0.0.1:{port_closed()}"
    assert one(OK | {"port": good.port, "host": "www.example.org"}, http_proxy=nowhere, all_proxy=nowhere, ALL_PROXY=nowhere)["state"] == "up"


def test_source(good):
    assert one(OK | {"port": good.port, "source": "127.0.0.9"})["state"] == "up"
    assert good.peer() == "127.0.0.9"
    result = one(OK | {"port": good.port, "source": "192.0.2.77"})
    assert said(result) == ("unchanged", "not checked: the source address 192.0.2.77: Cannot assign requested address")


def test_body():
    body = b"x" * 5000 + b"all is well" + b"y" * 5000
    chunked = b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % byte for byte in b"all is well") + b"0\r\n\r\n"
    with Server(http(lambda *_: page(200, body))) as server, Server(http(lambda *_: chunked)) as pieces:
        check = OK | {"port": server.port, "body": "all is well"}
        results, _ = run(check, check | {"body": "is bad"}, check | {"body_max": 5010}, check | {"body_max": 5011},
                         check | {"port": pieces.port}, OK | {"port": server.port, "body_max": 100})
        assert [said(result) for result in results] == [
            ("up", "HTTP status 200, and the body holds the text"), ("down", "HTTP status 200, but the body does not hold the text"),
            ("down", "HTTP status 200, but the first 5010 bytes of the body do not hold the text"),
            ("up", "HTTP status 200, and the body holds the text"), ("up", "HTTP status 200, and the body holds the text"),
            ("up", "HTTP status 200")]




def after(talk):
    """talk(), once a request has come."""
    def whole(connection):
        request_read(connection)
        talk(connection)
    return whole


ENDLESS = b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n"


HOSTILE = [
    (silent, {}, ("down", "no answer within 2 s"), False),
    (reset, {}, None, True),
    (after(reset), {}, ("down", "closed or reset before the answer"), True),
    (after(lambda _: None), {}, ("down", "closed or reset before the answer"), True),
    (after(drip(b" ", first=b"HTTP/1.1")), {}, ("down", "no answer within 2 s"), False),
    (after(drip(b"X-A: b\r\n", first=b"HTTP/1.1 200 x\r\n")), {}, ("down", "no end of the answer within 2 s"), False),
    (after(flood(b"X-A: b\r\n", b"HTTP/1.1 200 x\r\n")), {}, ("down", "headers of more than 65536 bytes"), True),
    (after(flood(b"a", b"HTTP/1.1 200 x\r\nX-A:")), {}, ("down", "a header that is too long"), True),
    (after(flood(b"HTTP/1.1 100 x\r\n\r\n")), {}, ("down", "headers of more than 65536 bytes"), True),
    (after(flood(b"5\r\naaaaa\r\n", ENDLESS)), {}, ("up", "HTTP status 200"), True),
    (after(flood(b"a", b"HTTP/1.1 500 x\r\n\r\n")), {}, ("down", "HTTP status 500, expected 200-299"), True),
    (after(flood(b"5\r\naaaaa\r\n", ENDLESS)), {"body": "b"},
     ("down", "HTTP status 200, but the first 65536 bytes of the body do not hold the text"), True),
    (after(drip(b"1\r\na\r\n", first=ENDLESS)), {}, ("down", "no end of the answer within 2 s"), False),
    (answer(ENDLESS), {}, ("down", "no end of the answer within 2 s"), False),
    (after(lambda connection: connection.sendall(b"HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\na")), {},
     ("down", "closed or reset before the end of the answer"), True),
    (after(lambda connection: connection.sendall(b"\xff\0\x1b[2J garbage\r\n\r\n")), {}, None, True),
    (after(lambda connection: connection.sendall(b"220 smtp ready\r\n")), {}, None, True),
]


def test_hostile(good):
    """At once: before its time is up."""
    servers = [Server(talk) for talk, *_ in HOSTILE]
    results, counts = run(*(OK | {"port": server.port} | more for server, (_, more, _, _) in zip(servers, HOSTILE)), OK | {"port": good.port})
    assert said(results[-1]) == ("up", "HTTP status 200")
    for result, (_, _, expected, at_once) in zip(results, HOSTILE):
        assert result["state"] == "down" if expected is None else said(result) == expected
        assert ("within 2 s" not in result["reason"]) == at_once, result
    assert counts["timeout"] == sum(not at_once for *_, at_once in HOSTILE)
    for server in servers:
        server.__exit__()


def test_redirects():
    def serve(method, path, headers):
        number = int(path.strip("/") or 0)
        return page(302, headers=[f"Location: /{number + 1}"]) if number < 3 else page(200, headers=[f"Location: /{number}"])

    elsewhere = http(lambda method, path, headers: page(200, headers["host"].encode()) if path == "/there"
                     else page(301, headers=[f"Location: http://nowhere.invalid:{server2.port}/there"]))
    with Server(http(serve)) as server, Server(elsewhere) as server2, \
            Server(http(lambda *_: page(302, headers=["Location: /"]))) as forever, \
            Server(http(lambda *_: page(302, headers=["Location: file:///etc/passwd"]))) as file:
        check = OK | {"path": "/0", "port": server.port}
        results, _ = run(check, check | {"redirects_max": 3}, check | {"redirects_max": 2}, check | {"port": forever.port, "redirects_max": 10},
                         check | {"port": file.port, "redirects_max": 3}, check | {"port": server2.port, "redirects_max": 1, "body": "nowhere.invalid"})
        assert [said(result) for result in results[:4]] == [
            ("down", "HTTP status 302, expected 200-299"), ("up", "HTTP status 200"), ("down", "more than 2 redirects"), ("down", "more than 10 redirects")]
        assert results[4]["state"] == "down"
        # the same real server is asked, whatever name the redirect has: no name is looked up
        assert said(results[5]) == ("up", "HTTP status 200, and the body holds the text")


def test_https(certificates):
    good, expired, early = (certificates.make(name, *times) for name, times in (
        ("good.example", ()), ("expired.example", ("20200101000000Z", "20200102000000Z")), ("early.example", ("20480101000000Z",))))
    serve = http(lambda *_: page(200))
    with Server(serve, tls=tls_context(good)) as fine, Server(serve, tls=tls_context(expired)) as old, \
            Server(serve, tls=tls_context(early)) as young, Server(answer(page(200))) as plain, Server(silent) as quiet:
        check = OK | {"type": "https", "ca": certificates.ca, "port": fine.port, "host": "good.example"}
        results, counts = run(
            check, check | {"host": "other.example"}, check | {"host": "www.other.example", "sni": "good.example"},
            check | {"host": "good.example:8443"}, check | {"port": old.port, "host": "expired.example"},
            check | {"port": old.port, "host": "expired.example", "verify": 0}, check | {"port": young.port, "host": "early.example"},
            check | {"ca": None}, check | {"ca": "/nowhere.pem"}, check | {"port": plain.port}, check | {"port": quiet.port})
        assert [said(result) for result in results[:1]] == [("up", "HTTP status 200")]
        assert results[1]["state"] == "down" and "matches target host name" in results[1]["reason"]
        assert said(results[2]) == said(results[3]) == ("up", "HTTP status 200")
        assert said(results[4]) == ("down", "the certificate is refused: certificate has expired")
        assert said(results[5]) == ("up", "HTTP status 200")
        assert said(results[6]) == ("down", "the certificate is refused: certificate is not yet valid")
        assert said(results[7]) == ("down", "the certificate is refused: unable to get local issuer certificate")
        assert results[8]["state"] == "unchanged" and "/nowhere.pem" in results[8]["reason"]
        assert results[9]["state"] == "down" and results[9]["reason"].startswith("TLS: ")
        assert said(results[10]) == ("down", "no connection by TLS within 2 s")
        assert counts["tls"] == 5 and counts["local"] == 1


def test_https_certificate_swapped(certificates):
    """No session is resumed: each check sees the certificate of now."""
    first, second = certificates.make("first.example"), certificates.make("second.example")
    contexts = [tls_context(first), tls_context(second)]
    with Server(http(lambda *_: page(200)), tls=contexts[0]) as server:
        check = OK | {"type": "https", "ca": certificates.ca, "port": server.port, "host": "first.example"}
        assert one(check)["state"] == "up"
        server.tls = contexts[1]
        assert one(check)["state"] == "down"


def test_https_http2(certificates):
    file = certificates.make("two.example")
    h2 = http2(lambda body: (OK_200, b"", []))
    check = OK | {"type": "https", "ca": certificates.ca, "host": "two.example", "http2": 1}
    with Server(h2, tls=tls_context(file, ["h2"])) as two, Server(http(lambda *_: page(200)), tls=tls_context(file, ["http/1.1"])) as one_only, \
            Server(h2) as prior:
        results, _ = run(check | {"port": two.port}, check | {"port": one_only.port}, check | {"type": "http", "port": prior.port},
                         check | {"type": "http", "port": two.port})
        assert [result["state"] for result in results] == ["up", "up", "up", "down"]


SERVING = b"\0\0\0\0\2\x08\1"


@pytest.mark.parametrize("serve, expected", [
    ((OK_200, SERVING, [(b"grpc-status", b"0")]), ("up", "SERVING")),
    ((OK_200, b"\0\0\0\0\2\x08\2", [(b"grpc-status", b"0")]), ("down", "NOT_SERVING, expected SERVING")),
    ((OK_200, b"\0\0\0\0\0", [(b"grpc-status", b"0")]), ("down", "UNKNOWN, expected SERVING")),
    ((OK_200, b"", [(b"grpc-status", b"5")]), ("down", 'the server does not know the service "shop"')),
    ((OK_200, b"", [(b"grpc-status", b"12")]), ("down", "the server does not implement grpc.health.v1.Health")),
    ((OK_200, b"", [(b"grpc-status", b"14")]), ("down", "gRPC status 14, expected 0")),
    ((OK_200, SERVING, [(b"x", b"0")]), ("down", "not gRPC: no grpc-status")),
    ((OK_200, SERVING + b"more", [(b"grpc-status", b"0")]), ("down", "not a response of grpc.health.v1.Health")),
    ((OK_200, b"\0" * 5000, [(b"grpc-status", b"0")]), ("down", "a response of more than 1024 bytes")),
    ((b"\x8d", b"", [(b"grpc-status", b"0")]), ("down", "HTTP status 404, expected 200")),
])
def test_grpc(good, serve, expected):
    bodies = []
    with Server(http2(lambda body: bodies.append(body) or serve)) as server:
        results, _ = run({"type": "grpc", "port": server.port, "grpc_service": "shop"}, OK | {"port": good.port})
        assert said(results[0]) == expected
        assert bodies == [b"\0\0\0\0\6\x0a\4shop"]
        assert results[1]["state"] == "up"


def test_grpc_of_other_servers(good, certificates):
    file = certificates.make("grpc.example")
    check = {"type": "grpc"}
    with Server(silent) as quiet, Server(flood(b"\0")) as noise, \
            Server(http2(lambda body: (OK_200, SERVING, [(b"grpc-status", b"0")])), tls=tls_context(file, ["h2"])) as secure:
        results, _ = run(check | {"port": good.port}, check | {"port": quiet.port}, check | {"port": noise.port}, check | {"port": port_closed()},
                         check | {"port": secure.port, "tls": 1, "host": "grpc.example", "ca": certificates.ca},
                         check | {"port": secure.port, "tls": 1, "host": "other.example", "ca": certificates.ca})
        assert [result["state"] for result in results] == ["down"] * 4 + ["up", "down"]
        assert results[1]["reason"] == "no answer within 2 s"


def test_many_hanging(good):
    with Server(silent) as quiet:
        results, counts = run(OK | {"port": good.port}, OK | {"port": quiet.port, "repeat": 200, "target": 100},
                              OK | {"port": good.port})
        assert [result["state"] for result in results] == ["up", "down", "up"]
        assert counts["timeout"] == 200
