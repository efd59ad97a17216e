"""A control socket that answers what a test wants."""

import contextlib
import json
import socket
import threading


@contextlib.contextmanager
def fake_daemon(path, *answers):
    """Answers a request with each list of items, as director/control/control_answer.h says; yields the requests."""
    requests = []

    def serve():
        for items in answers:
            with listener.accept()[0] as client, client.makefile("rw") as stream:
                requests.append(json.loads(stream.readline()))
                for line in {"ok": True, "command": requests[-1]["command"]}, *items, {"end": True, "count": len(items)}:
                    stream.write(json.dumps(line) + "\n")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(60)
        listener.bind(str(path))
        listener.listen(1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield requests
        finally:
            thread.join()
