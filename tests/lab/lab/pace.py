"""How slow the lab's kernel is. Deadlines of conditions are multiplied by it, and so is a bound on pure timing (a lag, a share
of a processor, the age from which a connection survives). Bounds on how lvsmesh behaves are not."""

import os

VARIABLE = "LVSMESH_SLOWNESS"


def slowness():
    """1 for a kernel that runs as fast as the machine lets it."""
    return float(os.environ.get(VARIABLE, 1))


def scaled(seconds):
    """None stays None: no deadline."""
    return seconds if seconds is None else seconds * slowness()
