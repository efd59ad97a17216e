#!/usr/bin/python3
"""ask ADDRESS PORT INTERVAL-MS DEADLINE-MS: a client that opens a new connection again and again and asks who is there.

For each: {"event": "answer", "at": us when it began, "ms", "who", "status"}, or {"event": "failure", "at", "ms", "why"}: refused,
reset, timeout, closed."""

import asyncio
import itertools
import json
import signal
import sys
import time


# In order: a port that is used again within two minutes may meet IPVS's entry of the connection before, and its real server.
ports = itertools.cycle(range(10000, 60000))


async def ask(address, port, deadline):
    began, at = time.monotonic(), time.time_ns() // 1000
    try:
        async with asyncio.timeout(deadline):
            reader, writer = await asyncio.open_connection(address, port, local_addr=("::" if ":" in address else "0.0.0.0", next(ports)))
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            text = await reader.read()
            writer.close()
        head, _, body = text.decode().partition("\r\n\r\n")
        said = {"event": "answer", "who": body.strip(), "status": int(head.split()[1])} if head else {"event": "failure", "why": "closed"}
    except TimeoutError:
        said = {"event": "failure", "why": "timeout"}
    except ConnectionRefusedError:
        said = {"event": "failure", "why": "refused"}
    except OSError as e:
        said = {"event": "failure", "why": "reset" if isinstance(e, ConnectionResetError) else str(e)}
    print(json.dumps({**said, "at": at, "ms": round(1000 * (time.monotonic() - began), 1)}), flush=True)


async def main():
    address, port, interval, deadline = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000, float(sys.argv[4]) / 1000
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print('{"event": "ready"}', flush=True)
    tasks, due = set(), time.monotonic()
    while True:
        task = asyncio.create_task(ask(address, port, deadline))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due += interval
        await asyncio.sleep(max(0, due - time.monotonic()))


asyncio.run(main())
