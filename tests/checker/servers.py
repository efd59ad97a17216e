"""Servers that are checked, each in threads of the test: TCP ones talk as a function says, UDP ones answer as one says."""

import queue
import socket
import ssl
import struct
import threading
import time


class Datagrams:
    """A UDP server: answer(data) gives the datagrams that answer it."""

    def __init__(self, answer, port=0, address="127.0.0.1"):
        self.answer = answer
        self.address = address
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            data, peer = self.socket.recvfrom(65536)
            if data == b"stop":
                return
            for reply in self.answer(data):
                self.socket.sendto(reply, peer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stop:
            stop.sendto(b"stop", (self.address, self.port))


class Server:
    """A TCP server; talk(connection) in a thread for each connection, which tls may wrap."""

    def __init__(self, talk, address="127.0.0.1", port=0, tls=None):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.talk = talk
        self.tls = tls
        self.seen = queue.Queue()
        self.listener = socket.create_server((address, port), family=family, backlog=4096)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            self.seen.put(peer)
            threading.Thread(target=self.guarded, args=(connection,), daemon=True).start()

    def peer(self):
        """The address of the next connection."""
        return self.seen.get(timeout=5)[0]

    def guarded(self, connection):
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                self.talk(connection)
        except OSError:
            pass  # the check has reset the connection

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def silent(connection):
    while connection.recv(65536):
        pass


def drip(data, seconds=0.1, first=b""):
    def talk(connection):
        connection.sendall(first)
        while True:
            connection.sendall(data)
            time.sleep(seconds)
    return talk


def flood(data, first=b""):
    def talk(connection):
        connection.sendall(first)
        while True:
            connection.sendall(data * 1000)
    return talk


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def answer(data):
    def talk(connection):
        connection.recv(65536)
        connection.sendall(data)
        silent(connection)
    return talk


def port_closed(kind=socket.SOCK_STREAM):
    """A port on which nothing listens."""
    with socket.socket(socket.AF_INET, kind) as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def request_read(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionResetError
        data += more
    return data


def http(serve):
    """serve(method, path, headers) gives an answer's bytes; headers in small letters."""
    def talk(connection):
        first, *lines = request_read(connection).decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
        method, path, version = first.split()
        if version != "HTTP/1.1":
            return
        headers = {line.split(":")[0].lower(): line.split(":", 1)[1].strip() for line in lines}
        connection.sendall(serve(method, path, headers))
    return talk


def page(status, body=b"", headers=()):
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def tls_context(file, protocols=()):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def fields(*pairs):
    """HPACK without compression."""
    return b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in pairs)


def frame_read(connection):
    head = b""
    while len(head) < 9:
        head += connection.recv(9 - len(head)) or b"\0" * 9
    payload = b""
    length = int.from_bytes(head[:3], "big")
    while len(payload) < length:
        payload += connection.recv(length - len(payload))
    return head[3], head[4], payload


def http2(serve):
    """serve(body) gives (:status as HPACK, data, trailers) for each request."""
    def talk(connection):
        preface = b""
        while len(preface) < 24:
            preface += connection.recv(24 - len(preface))
        connection.sendall(frame(4, 0, 0))
        body, kind, flags = b"", 0, 0
        while not (kind in (0, 1) and flags & 1):
            kind, flags, payload = frame_read(connection)
            body += payload if kind == 0 else b""
            if kind == 4 and not flags & 1:
                connection.sendall(frame(4, 1, 0))
        status, data, trailers = serve(body)
        connection.sendall(frame(1, 4, 1, status + fields((b"content-type", b"application/grpc"))) + frame(0, 0, 1, data)
                           + frame(1, 5, 1, fields(*trailers)))
        silent(connection)
    return talk


OK_200 = b"\x88"
