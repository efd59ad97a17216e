"""check_probe, with checks given to it."""

import json
import os
import subprocess
import threading
import time

PROBE = os.environ["CHECK_PROBE"]
EMPTY_NETWORK = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
LATE = 0.5  # s behind its deadline that a result may come on a busy machine


class Probe:
    """check_probe with checks given to it; results by target."""

    def __init__(self, checks, environment=None, within=()):
        self.process = subprocess.Popen([*within, PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=os.environ | (environment or {}))
        for check in checks:
            self.write(check)

    def write(self, check):
        self.process.stdin.write(json.dumps(check) + "\n")
        self.process.stdin.flush()

    def read(self):
        line = json.loads(self.process.stdout.readline())
        return line

    def end(self, seconds=20):
        """Results, and the counters."""
        out, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0
        lines = [json.loads(line) for line in out.splitlines()]
        return {line["target"]: line for line in lines[:-1]}, lines[-1]


class Stalls(threading.Thread):
    """How long this process was kept from running, by the machine or by its own threads: the servers are threads of it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seconds = 0
        self.start()

    def run(self):
        while True:
            began = time.monotonic()
            time.sleep(0.01)
            self.seconds += max(0, time.monotonic() - began - 0.02)


STALLS = Stalls()


def run(*checks, **environment):
    """Each check with a target of its number; returns the first of its results in the same order, and the counters. Each
    result comes within its deadline; LATE and the time for which the machine had no processor for us are left out."""
    numbered = [{"address": "127.0.0.1", "timeout_ms": 2000, "target": i} | check for i, check in enumerate(checks)]
    before = STALLS.seconds
    results, counts = Probe(numbered, environment).end()
    assert counts["running"] == 0
    counts["slack_us"] = LATE * 1e6 + counts["stalled_us"] + (STALLS.seconds - before) * 1e6
    for check in numbered:
        for i in range(check.get("repeat", 1)):
            result = results[check["target"] + i]
            assert result["took_us"] < check["timeout_ms"] * 1000 + counts["slack_us"], result
            assert 0 < len(result["reason"]) < 128
    return [results[check["target"]] for check in numbered], counts


def prompt(counts, *results):
    """They were not delayed."""
    return all(result["took_us"] < counts["slack_us"] for result in results)


def one(check, **environment):
    return run(check, **environment)[0][0]


def said(result):
    return result["state"], result["reason"]
