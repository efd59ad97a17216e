#!/usr/bin/python3
"""real NAME PORT...: a real server that fails as it is told.

Answers each HTTP request with NAME (`GET /PATH` too, with 404 unless the path is / or /healthz) and closes. A line on
the standard input changes what it does from then on:

    up          the above
    refuse      nothing listens
    hang        accepts, and never answers
    mute        the kernel accepts, and nobody reads; after 16 connections it accepts none
    reset       resets each connection once it is there
    status N    answers with that status
    slow MS     answers after so long
    drip MS     the same answer, a byte each MS
    body TEXT   answers with that instead of NAME
    get PATH    only that path is 200

Each line is confirmed by {"event": "mode", "what": LINE}; connections that are there stay as they are."""

import asyncio
import json
import socket
import struct
import sys


def say(**event):
    print(json.dumps(event), flush=True)


class Real:
    def __init__(self, name, ports):
        self.name = name
        self.ports = ports
        self.listeners = []
        self.paths = ("/", "/healthz")
        self.be("up")

    def be(self, line):
        """Does nothing else but to remember it, apart from opening and closing the listeners."""
        self.mode, _, self.value = line.partition(" ")
        if self.mode == "get":
            self.paths = (self.value,)

    async def listen(self):
        for listener in self.listeners:
            listener.close()
        self.listeners = []
        if self.mode == "refuse":
            return
        for port in self.ports:
            s = socket.socket(socket.AF_INET6)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("::", port))
            if self.mode == "mute":
                s.listen(16)
                self.listeners.append(s)
            else:
                self.listeners.append(await asyncio.start_server(self.serve, sock=s, backlog=4096))

    async def serve(self, reader, writer):
        try:
            await self.answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def answer(self, reader, writer):
        if self.mode == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if self.mode == "hang":
            while await reader.read(4096):
                pass
            return
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split()[1].decode() if len(request.split()) > 1 else "?"
        status = int(self.value) if self.mode == "status" else 200 if path in self.paths else 404
        body = (self.value if self.mode == "body" else self.name) + "\n"
        text = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
        if self.mode == "slow":
            await asyncio.sleep(float(self.value) / 1000)
        step = 1 if self.mode == "drip" else len(text)
        for at in range(0, len(text), step):
            writer.write(text[at:at + step])
            await writer.drain()
            if step == 1:
                await asyncio.sleep(float(self.value) / 1000)


async def main():
    real = Real(sys.argv[1], [int(port) for port in sys.argv[2:]])
    await real.listen()
    say(event="ready")
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := (await commands.readline()).decode().strip():
        listened = real.mode
        real.be(line)
        if real.mode != listened and {real.mode, listened} & {"refuse", "mute"}:
            await real.listen()
        say(event="mode", what=line)
    await asyncio.Event().wait()


asyncio.run(main())
