from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus import Alignment, AlignmentError, Segment, TextGridAlignment
from mer.corpus.syllables import syllable_segments
from mer.corpus.textgrid_file import textgrid_name, textgrid_text, write_textgrid

EXAMPLE = Alignment(
    words=(Segment("well", 210, 500), Segment('[SAYS_"OH"]', 500, 730)),
    phones=(Segment("W", 210, 300), Segment("EH", 300, 400), Segment("L", 400, 500), Segment("spn", 500, 730)),
    syllables=(Segment("W_EH_L", 210, 500), Segment("spn", 500, 730)),
)

TIERS = st.lists(st.integers(0, 900), unique=True, max_size=12).map(sorted)


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    write_textgrid(tmp_path / "a.TextGrid", EXAMPLE, 1.0)
    assert TextGridAlignment(path=tmp_path / "a.TextGrid").read() == EXAMPLE
    assert [path.name for path in tmp_path.iterdir()] == ["a.TextGrid"]


@given(words=TIERS, phones=TIERS, syllables=TIERS)
def test_any_times_read_back(
    tmp_path_factory: pytest.TempPathFactory, words: list[int], phones: list[int], syllables: list[int]
) -> None:
    tiers = {
        name: tuple(Segment("AH", a, b) for a, b in zip(edges[::2], edges[1::2], strict=False))
        for name, edges in (("words", words), ("phones", phones), ("syllables", syllables))
    }
    path = tmp_path_factory.mktemp("grid") / "a.TextGrid"
    write_textgrid(path, Alignment(**tiers), 0.9)
    derived = tiers["syllables"] or syllable_segments(tiers["phones"], tiers["words"])
    assert TextGridAlignment(path=path).read() == Alignment(**tiers | {"syllables": derived})


def test_tiers_are_in_the_order_of_mfa_and_fill_the_audio() -> None:
    lines = [line.strip() for line in textgrid_text(EXAMPLE, 1.0).splitlines()]
    assert [line for line in lines if line.startswith("name")] == ['name = "words"', 'name = "phones"', 'name = "syllables"']
    words = lines[lines.index('name = "words"') : lines.index('name = "phones"')]
    assert [line for line in words if line.startswith("text")] == [
        'text = ""',
        'text = "well"',
        'text = "[SAYS_""OH""]"',
        'text = ""',
    ]
    assert [line for line in words if line.startswith("xmax")] == [f"xmax = {t}" for t in ("1", "0.21", "0.5", "0.73", "1")]


def test_what_reaches_beyond_the_audio_is_cut_there(tmp_path: Path) -> None:
    write_textgrid(tmp_path / "a.TextGrid", EXAMPLE, 0.45)
    found = TextGridAlignment(path=tmp_path / "a.TextGrid").read()
    assert found.words == (Segment("well", 210, 450),)
    assert found.phones[-1] == Segment("L", 400, 450)


@pytest.mark.parametrize("second", [Segment("b", 90, 200), Segment("b", 150, 150)])
def test_times_out_of_order_are_refused(second: Segment) -> None:
    broken = Alignment(words=(Segment("a", 0, 100), second), phones=(), syllables=())
    with pytest.raises(AlignmentError, match=f"words: 'b' from {second.start_ms} to {second.end_ms} ms"):
        textgrid_text(broken, 1.0)


@given(st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=2, unique=True))
def test_ids_become_names_that_stay_apart_and_in_the_folder(ids: list[str]) -> None:
    first, second = (textgrid_name(name.encode("utf-8", "ignore").decode() or "x") for name in ids)
    assert (first == second) == (ids[0].encode("utf-8", "ignore") == ids[1].encode("utf-8", "ignore")) or "x" in ids
    for name in (first, second):
        assert Path(name).name == name
