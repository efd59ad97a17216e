#!/usr/bin/python3
"""record LISTEN-ADDRESS:PORT TO-ADDRESS:PORT FILE

Passes TCP connections on, and appends what the dialer of each said to FILE.0, FILE.1 ..."""

import select
import socket
import sys


def split(text):
    address, port = text.rsplit(":", 1)
    return address, int(port)


def main():
    listen, to, file = split(sys.argv[1]), split(sys.argv[2]), sys.argv[3]
    listener = socket.create_server(listen)
    print('{"event": "ready"}', flush=True)
    other, log, count = {}, {}, 0
    while True:
        for s in select.select([listener, *other], [], [])[0]:
            if s is listener:
                dialer = s.accept()[0]
                try:
                    acceptor = socket.create_connection(to)
                except OSError:
                    dialer.close()
                    continue
                other[dialer], other[acceptor] = acceptor, dialer
                log[dialer] = open(f"{file}.{count}", "wb", buffering=0)
                count += 1
                continue
            if s not in other:
                continue
            try:
                data = s.recv(65536)
                if data and s in log:
                    log[s].write(data)
                if data:
                    other[s].sendall(data)
                    continue
            except OSError:
                pass
            peer = other.pop(s)
            other.pop(peer)
            s.close()
            peer.close()


if __name__ == "__main__":
    main()
