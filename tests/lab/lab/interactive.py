"""A shell for a person among the hosts of a topology."""

import subprocess
from pathlib import Path

from . import tools

HERE = Path(__file__).resolve().parent.parent
RC = """
PS1='lab:\\w# '
PATH={tools}:{director}:$PATH
on() {{ local host=$1; shift; ip netns exec "$host" "$@"; }}
topo() {{ {script} --inside {options} -- "$@"; }}
export -f on topo
"""


def write_rc(topology, options="", functions=""):
    """options: those of tests/lab/shell that make this topology; functions: more of them, of bash. Returns the
    file to be sourced."""
    rc = topology.directory / "rc"
    rc.write_text(functions + RC.format(
        tools=tools.program("traffic").parent, director=tools.program("lvsmesh").parent,
        script=HERE / "shell", options=options))
    return rc


def shell(topology, options="", functions="", more=""):
    """Until the person leaves it; its exit status. more: what to say of the functions."""
    rc = write_rc(topology, options, functions)
    print(f"hosts: {' '.join(h.name for h in topology.hosts)}; VIPs {topology.vip(4)} and {topology.vip(6)}; "
          f"`on HOST COMMAND`, `topo`, {more}`exit`", flush=True)
    return subprocess.run(["bash", "--rcfile", rc]).returncode
