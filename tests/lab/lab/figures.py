"""Where the benches' figures go, and what they run in."""

import contextlib
import json
import sys

from .topology import Topology, settle


class Figures:
    def __init__(self, file):
        self._file = file
        self._held = None
        self.bench = None

    def write(self, metric, value, unit, **conditions):
        value = round(value, 3) if isinstance(value, float) else value
        self._put([json.dumps({"bench": self.bench, "metric": metric, "value": value, "unit": unit, **conditions})])

    @contextlib.contextmanager
    def held(self):
        """Lines that are written inside come out at the end, if they are still in the list then."""
        self._held = []
        yield self._held
        lines, self._held = self._held, None
        self._put(lines)

    def _put(self, lines):
        if self._held is not None:
            self._held += lines
            return
        for line in lines:
            print(line, flush=True)
            self._file.write(line + "\n")
        self._file.flush()


def say(text):
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def lab(**options):
    """A topology, with nothing of the one before still going on."""
    settle()
    with Topology(**options) as t:
        yield t
