"""The lint finds what it is there for."""

import subprocess
from pathlib import Path

import pytest

LINT = Path(__file__).with_name("lint")


def lint(root):
    return subprocess.run([LINT, root], capture_output=True, text=True)


@pytest.mark.parametrize("name, line, complaint", [
    ("proto/a.h", '#include "sync/table/entry.h"', "proto may not include sync"),
    ("sync/a.c", '#include "membership/member.h"', "sync may not include membership"),
    ("membership/a.c", '#  include "sync/table/entry.h"', "membership may not include sync"),
    ("sync/a.c", '#include "director/node/node.h"', "sync may not include director"),
    ("sync/a.c", "#include <uv.h>", "a core includes the header of libuv"),
    ("director/node/node.c", "#include <netlink/genl/genl.h>", "a core includes the header of netlink"),
    ("sync/a.c", "now = time(NULL);", "a core calls a clock: time()"),
    ("proto/a.c", "/* why */ clock_gettime(CLOCK_MONOTONIC, &t);", "clock_gettime()"),
    ("proto/a.c", "randombytes_buf(nonce, sizeof(nonce));", "randombytes_buf()"),
    ("proto/a.c", "crypto_sign_keypair(pk, sk);", "crypto_sign_keypair()"),
    ("membership/a.c", "r = random();", "a core calls randomness"),
    ("sync/a.c", "fd = socket(AF_INET, SOCK_DGRAM, 0);", "a core calls a socket"),
    ("director/node/node.c", "uv_now(loop);", "a core calls libuv"),
    ("director/service/plan.c", "return nla_put_u32(m, 1, 2);", "a core calls netlink"),
    ("tests/sim/a.c", "carry(c, draw(c, 2), states[draw(c, 3)]);", "draws twice in one expression"),
    ("tests/unit/a.c", "x = (struct version){rand(), rand() % 4};", "draws twice in one expression"),
])
def test_finds(tmp_path, name, line, complaint):
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text("/* a\n   comment */\n" + line + "\n")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert f"{name}:3: " in done.stdout and complaint in done.stdout


@pytest.mark.parametrize("name, line", [
    ("sync/a.c", '#include "proto/base.h"'),
    ("director/node/node.c", '#include "membership/member.h"'),
    ("director/tap/io_tap.c", "fd = socket(AF_INET, SOCK_DGRAM, 0); uv_now(loop); time(NULL);"),
    ("director/kernel/ipvs_nl.c", "#include <netlink/genl/genl.h>"),
    ("sync/a.c", "/* as time(2) or\n socket(2) would */ // random()"),
    ("sync/a.c", 'report("no socket (see bind(2))");'),
    ("tests/sim/a.c", "x = draw(c, 2); y = draw(c, 2) ? draw(c, 3) : 0; f(draw(c, 4), redraw(c), c.draw(d));"),
    ("tests/sim/a.c", "if (rand() % (2 + n))\n\tx = rand();"),
    ("sync/a.c", "entry_time(e); c->send(c); x.connect(y); table_poll(t);"),
    ("proto/a.c", "crypto_sign_seed_keypair(pk, sk, s); randombytes_buf_deterministic(d, n, k);"),
])
def test_allows(tmp_path, name, line):
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(line + "\n")
    done = lint(tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


def test_openings(tmp_path):
    """One sentence in two hundred may open with a relative clause."""
    file = tmp_path / "proto/a.c"
    file.parent.mkdir(parents=True)
    plain = "/* The director reads it. */\n" * 199
    file.write_text(plain + "/* What it reads is kept. */\n")
    assert lint(tmp_path).returncode == 0
    file.write_text(plain + "/* What it reads is kept.\n * Of these one stays. */\n")
    done = lint(tmp_path)
    assert done.returncode == 1 and "2 of 201 sentences" in done.stdout


STATE = """/* split.c */
struct split {
	bool open;
};

struct member {
	/* record.c: what it states. */
	struct {
		uint64_t epoch; /* of its boot */
		uint8_t *body, name[16];
	};

	/* split.c */
	struct split split;
};
"""


@pytest.mark.parametrize("line, writes", [
    ("member->epoch = 1;", "epoch"), ("member->split.open = true;", "split"), ("++member->epoch;", "epoch"),
    ("member->name[0] |= 1;", "name"), ("split->open = false;", "open"),
    ("if (member->epoch == 1 || split->open >= 2)\\n\\t\\treturn member->body;", None),
])
def test_owners(tmp_path, line, writes):
    """Each struct of membership/ is written by one file."""
    (tmp_path / "membership").mkdir()
    (tmp_path / "membership/state.h").write_text(STATE)
    code = f"void f(struct member *member, struct split *split)\n{{\n\t{line}\n}}\n"
    (tmp_path / "membership/probe.c").write_text(code)
    assert lint(tmp_path).stdout == (
        f"membership/probe.c:3: writes {writes}, which is {'record.c' if 'ep' in line or 'name' in line else 'split.c'}'s: call a function of it\n"
        if writes else "")
    (tmp_path / "membership/probe.c").rename(tmp_path / f"membership/{'record' if 'ep' in line or 'name' in line else 'split'}.c")
    assert lint(tmp_path).stdout == "" or not writes
