"""The tables of docs/encoders.md say what the families do."""

import re
from pathlib import Path

import pytest

import mer
from mer.extract import SPEECH_FAMILIES
from mer.extract.feature_size import UNITS_PER_SECOND
from mer.tests.extract.conftest import Make
from mer.tests.extract.small_families import SPEECH
from mer.tests.extract.small_text_families import TEXT

PAGE = (Path(mer.__path__[0]) / "docs" / "encoders.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Cells of the table that begins with a heading, without code marks."""
    table = PAGE[PAGE.index(f"| {heading} |") :].partition("\n\n")[0]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def gigabytes(checkpoint: str, units_per_second: float) -> float:
    """Of an hour in float16."""
    shape = re.search(r", (\d+) x (\d+)$", checkpoint)
    assert shape is not None
    return 3600 * units_per_second * int(shape[1]) * int(shape[2]) * 2 / 1e9


SPEECH_ROWS, TEXT_ROWS = rows("`model_type`"), rows("encoder")


def test_every_family_has_a_row() -> None:
    assert [row[0] for row in SPEECH_ROWS] == list(SPEECH_FAMILIES)
    assert [(row[0], row[1], row[2]) for row in TEXT_ROWS] == [(name, kind, pieces) for name, (kind, pieces, _) in TEXT.items()]


@pytest.mark.parametrize("row", SPEECH_ROWS, ids=lambda row: row[0])
def test_a_row_says_what_the_family_does(row: list[str], encoder_of: Make) -> None:
    kind, batch, longer, every, checkpoint, disk = row
    small = next(name for name, (model_type, _) in SPEECH.items() if model_type == kind)
    encoder = encoder_of(small)
    assert batch == ("one by one" if encoder.one_by_one else "exact")
    assert longer == ("whole" if encoder.checkpoint.window is None else "windows of 30 s")
    assert every == f"{1000 * encoder.frame_stride / encoder.sample_rate:g} ms"
    assert disk == f"{gigabytes(checkpoint, encoder.sample_rate / encoder.frame_stride):.1f}"


@pytest.mark.parametrize("row", TEXT_ROWS, ids=lambda row: row[0])
def test_a_row_of_text_says_its_disk(row: list[str]) -> None:
    assert row[3] == "exact"  # of each: test_text_families.py
    assert row[5] == f"{gigabytes(row[4], UNITS_PER_SECOND['T']):.2f}"
