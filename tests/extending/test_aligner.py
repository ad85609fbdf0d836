"""Whoever follows docs/extending.md gets an aligner of their own through every command that takes one."""

import json
from pathlib import Path

import pytest

from mer.corpus import TextGridAlignment
from mer.tests.extending.doc_blocks import Told, done, result_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("extending aligner")]


@pytest.fixture(scope="module")
def told(ready: Path) -> dict[str, Told]:
    return done(ready, "An aligner")


def test_an_aligner_of_ones_own_is_known_to_every_command(told: dict[str, Told], ready: Path) -> None:
    assert {command.partition(" ")[0] for command in told} == {"align", "extract", "train-head", "predict"}
    assert "tiers: words; this aligner finds no others" in " ".join(told["align --aligner even --to even"].output.split())
    grids = sorted((ready / "even").glob("*.TextGrid"))
    words = TextGridAlignment(path=grids[0]).read().words
    assert len({round(each.end_ms - each.start_ms, -1) for each in words}) <= 2
    (spec,) = (json.loads(path.read_text()) for path in (ready / "features").glob("*/*/spec.json"))
    assert spec["segments"]["alignment"] == "even"
    assert result_of(ready, "*-late-W+T-*")["features"]["segments"]["alignment"] == "even"
