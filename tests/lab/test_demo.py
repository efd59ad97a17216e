"""The demo, small: with lvsmesh nothing breaks, and it would see it if something did."""

import io
import json
import subprocess
from pathlib import Path

from lab.screen import Screen
from lab.story import QUICK, Story, summarize

DEMO = Path(__file__).resolve().parent / "demo"
OPENED = QUICK.connections + QUICK.downloads + 2 * QUICK.more


def test_nothing_breaks(tmp_path):
    done = subprocess.run([DEMO, "--inside", tmp_path, "--quick"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"No connection broke, of {OPENED}." in done.stdout
    assert "\033" not in done.stdout
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["opened"], figures["broken"]) == (OPENED, 0)
    assert figures["entries"] == {"d1": OPENED, "d2": OPENED, "d3": OPENED}
    assert figures["downloads_finished"] >= QUICK.downloads
    assert 0 < figures["capture_p50_ms"] <= figures["replication_p99_ms"]


def test_what_breaks_is_told(topology):
    out = io.StringIO()
    screen = Screen(out=out)
    figures = Story(topology(), "ipvs", screen, QUICK).tell()
    summarize(screen, [figures])
    assert figures["opened"] == OPENED
    assert figures["broken"] >= figures["broken_at_death"] > 0
    assert figures["replication_p99_ms"] is None
    assert f"{figures['broken']} of {OPENED} connections broke." in out.getvalue()
