"""The short form of `bench/trust.py`: kills, power cuts, full disks, flipped bits, fuzzed, crafted and special files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mer.tests.campaign.attacks import ATTACKS
from mer.tests.campaign.tally import COLUMNS, Tally, table

BENCH = Path(__file__).parent.parent / "bench" / "trust.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="commands are forked")
def test_nothing_is_lost_doubled_silently_wrong_or_hangs() -> None:
    command = [sys.executable, str(BENCH), "--short", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    tests = json.loads(ended.stdout)["tests"] if ended.stdout else []
    assert {each["test"]: each["seen"] for each in tests if each["seen"]} == {}, ended.stderr
    assert ended.returncode == 0, ended.stderr
    assert len(tests) >= len(ATTACKS)
    assert all(each["count"] > 0 and not any(each[name] for name in COLUMNS[1:]) for each in tests)


def test_a_red_line_is_red_and_said() -> None:
    tally = Tally(test="kills of mer nothing", count=3, lost=1, seen=["after the first: lost a.json"])
    assert tally.red == 1
    assert "| kills of mer nothing | 3 | 1 | 0 | 0 | 0 | 0 |" in table([tally])
    assert table([tally]).endswith("kills of mer nothing: after the first: lost a.json")
