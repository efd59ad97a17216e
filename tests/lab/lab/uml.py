"""The lab's kernel as an ordinary process: User-Mode Linux, one processor, no privileges needed."""

import os
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PROGRAM = shutil.which("linux.uml")


def argv(own, memory, tty):
    # One processor: the guest's process and its kernel are host processes that hand over to each
    # other at each system call, which takes 6 us on one processor and 67 us across two.
    command = ["taskset", "-c", str(_claim_processor()), PROGRAM, f"mem={memory}",
               "rootfstype=hostfs", "root=/dev/root", "ro", f"init={HERE}/init-uml",
               "con=null", "con0=fd:0,fd:1", "quiet", "loglevel=2", "selinux=0", f"LAB_DIR={own}"]
    if tty:
        columns, lines = os.get_terminal_size(0)
        command.append(f"LAB_TTY={lines}x{columns}")
    return command


def env(own):
    shim = f"{own}/uml_xstate.so"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE",
                    "-shared", "-fPIC", "-o", shim, f"{HERE}/uml_xstate.c"], check=True)
    # The guest's memory is a file in TMPDIR: on a disk every page would be written back.
    return {"PATH": os.environ["PATH"], "HOME": own, "LD_PRELOAD": shim, "TMPDIR": "/dev/shm"}


def surroundings(share):
    """What the command's script does first, as lines of shell."""
    share = shlex.quote(share)
    return [f"mkdir -p {share} && mount -t hostfs -o {share} none {share} || exit 125"]


_claims = []


def _claim_processor():
    """The first processor on which no other lab runs; an abstract socket is the mark, so that
    nothing is left when we are killed."""
    processors = sorted(os.sched_getaffinity(0))
    for processor in processors:
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0lvsmesh-lab-processor-{processor}")
        except OSError:
            mark.close()
            continue
        _claims.append(mark)
        return processor
    return processors[os.getpid() % len(processors)]


def release():
    """The processor is another lab's to take."""
    while _claims:
        _claims.pop().close()
