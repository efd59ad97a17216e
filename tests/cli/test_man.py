"""The man pages against the programs: each command, option, event and event field is in both, or in neither."""

import os
import re
import subprocess
from pathlib import Path

SOURCE = Path(os.environ["SOURCE"])
OPTION = re.compile(r"--[a-z][a-z-]*")


def manual(page):
    return (SOURCE / "deploy/man" / page).read_text().replace("\\-", "-")


def section(text, name):
    return re.search(rf"^\.SH {name}\n(.*?)(?=^\.SH |\Z)", text, re.M | re.S)[1]


def helped(program, *arguments):
    return subprocess.run([os.environ[program], *arguments, "--help"], capture_output=True, text=True, timeout=60).stdout


def headings(text):
    """The names that open a paragraph: the line after each .TP, without its macro and plain words."""
    return {name for line in re.findall(r"^\.TP\n\.BR? (.*)$", text, re.M)
            for name in re.sub(r'"[^"]*"', " ", line).split()}


def test_commands_and_options():
    page, usage = manual("lvsmesh.1"), helped("LVSMESH")
    commands = set(re.findall(r"^  ([a-z]+) ", usage, re.M))
    assert {name.split()[0] for name in re.findall(r"^\.TP\n\.B ([a-z]+)", section(page, "DESCRIPTION"), re.M)} == commands
    options = set(OPTION.findall(usage)).union(*(OPTION.findall(helped("LVSMESH", command)) for command in commands))
    outside = {"--stop-daemon"}  # another program's
    assert set(OPTION.findall(page)) - outside == options - {"--version"}


def test_daemon_options():
    assert set(OPTION.findall(manual("lvsmeshd.8"))) == set(OPTION.findall(helped("LVSMESHD")))


def test_events():
    page = section(manual("lvsmesh.1"), "EVENTS")
    code = "".join(path.read_text() for folder in ("event", "daemon") for path in (SOURCE / "director" / folder).glob("*.c"))
    names = set(re.findall(r'\{"([a-z-]+)", EVENT_', code))
    assert headings(page) == names
    fields = set(re.findall(r'event_(?:text|number)\([^"]*?"(\w+)"', code))
    assert len(fields) > 30
    missing = {name for name in fields if not re.search(rf"^\.[BIR]+ .*\b{name}\b", page, re.M)}
    assert not missing, missing
