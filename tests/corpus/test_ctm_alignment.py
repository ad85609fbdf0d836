"""Alignments in CTM: grouped by recording and channel, matched to utterances, times in seconds."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mer.corpus import Alignment, AlignmentError, Corpus, CorpusError, Segment, open_corpus
from mer.corpus.ctm_alignment import CtmAlignment, read_ctm, tier_of
from mer.corpus.textgrid_folder import with_textgrids
from mer.tests.corpus.test_json_alignment import TIMED, WORDS

Make = Callable[..., Corpus]


@pytest.fixture
def corpus(tmp_path: Path) -> Make:
    def make(*rows: dict[str, object]) -> Corpus:
        plain = {"label": "joy", "speaker": "s", "session": "1"}
        (tmp_path / "own.jsonl").write_text("".join(json.dumps(plain | row) + "\n" for row in rows))
        return open_corpus(tmp_path / "own.jsonl")

    return make


def put(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def words(path: Path, recording: str = "u1", channel: int | None = None) -> list[tuple[str, int, int]]:
    read = CtmAlignment(files=(("words", path),), recording=recording, channel=channel).read()
    return [(each.label, each.start_ms, each.end_ms) for each in read.words]


def alignment(source: object) -> Alignment:
    return source.read()  # type: ignore[attr-defined, no-any-return]


def test_the_files_of_words_and_phones_give_what_a_textgrid_of_the_same_times_gives(tmp_path: Path, corpus: Make) -> None:
    said = [f"u1 1 {start} {end - start:.3f} {word} 0.98" for word, start, end in WORDS]
    put(tmp_path / "ctm" / "words.CTM", ";; made by hand", "", "u0 1 0 1 other", *said[::-1])
    places = ["_B", "_I", "_I", "_E", "_B", "_I", "_E"]
    put(
        tmp_path / "ctm" / "ali_phones.ctm",
        *(f"u1 1 {start} {end - start:.3f} {label}{place}" for (start, end, label), place in zip(TIMED, places, strict=True)),
        "u1 1 0.0 0.1 SIL",
    )
    read = alignment(next(iter(with_textgrids(corpus({"id": "u1", "wav": "a.wav"}), tmp_path / "ctm"))).alignment)
    assert read.words == (Segment("happy", 100, 400), Segment("noon", 600, 900))
    assert [each.label for each in read.phones] == ["HH", "AE", "P", "IY", "N", "UW", "N"]
    assert [each.label for each in read.syllables] == ["HH_AE", "P_IY", "N_UW_N"]


@pytest.mark.parametrize(
    ("path", "tier"),
    [
        ("ctm/words/u1.ctm", "words"),
        ("phones.ctm", "phones"),
        ("ctm_phone/1.ctm", "phones"),
        ("syllables.ctm", "syllables"),
        ("hyp.ctm", "words"),
        ("tokens/u1.ctm", None),
        ("segments/u1.ctm", None),
    ],
)
def test_a_name_says_the_tier(path: str, tier: str | None) -> None:
    assert tier_of(Path(path)) == tier


def test_channels_are_told_apart_and_asked_for(tmp_path: Path) -> None:
    path = put(tmp_path / "a.ctm", "u1 A 0.5 0.25 left", "u1 B 0 1 right", "u2 2 0 1 alone", "u3 0 0 1 first", "u3 1 0 1 second")
    assert words(path, channel=1) == [("left", 500, 750)]
    assert words(path, channel=2) == [("right", 0, 1000)]
    assert words(path, "u2") == words(path, "u2", 2) == [("alone", 0, 1000)]
    assert [words(path, "u3", channel)[0][0] for channel in (1, 2)] == ["first", "second"]
    with pytest.raises(AlignmentError, match="'u1' has the channels 1, 2, and the utterance is of all: say which"):
        words(path)
    with pytest.raises(AlignmentError, match="'u2' has the channels 2, and the utterance is of 1"):
        words(path, "u2", 1)


def test_rounding_of_start_and_duration_is_no_overlap(tmp_path: Path) -> None:
    path = put(tmp_path / "a.ctm", "u1 1 0.13 0.13 one", "u1 1 0.25 0.10 two", "u1 1 0.35 0.00 nothing", "u1 1 0.35 0.1 three")
    assert words(path) == [("one", 130, 250), ("two", 250, 350), ("three", 350, 450)]
    with pytest.raises(AlignmentError, match=r"'u1': intervals of one tier overlap, 'one' 0.13-0.27 s and 'two' 0.25-0.35"):
        words(put(tmp_path / "b.ctm", "u1 1 0.13 0.14 one", "u1 1 0.25 0.10 two"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("u1 1 0.5 0.2", "4 columns; expected recording, channel, start"),
        ("u1 1 0.5 x word", "could not convert"),
        ("u1 1 -0.5 1 word", "a channel or time that cannot be"),
        ("u1 1 nan 1 word", "a channel or time that cannot be"),
        ("u1 x1 0 1 word", "invalid literal"),
        ("u1 1 * * <ALT_BEGIN>", "alternatives, of which none is chosen"),
    ],
)
def test_a_line_that_is_no_ctm_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = put(tmp_path / "a.ctm", "u1 1 0 0.5 word", line)
    with pytest.raises(AlignmentError, match=rf"a.ctm: line 2: .*{told}"):
        read_ctm(path)


def test_numbers_for_symbols_are_refused_and_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = put(tmp_path / "phones.ctm", "u1 1 0 0.5 12", "u1 1 0.5 0.5 7")
    with pytest.raises(AlignmentError, match=r"labels are numbers; .*int2sym"):
        read_ctm(path)
    assert words(put(path, "u1 1 0 0.25 changed")) == [("changed", 0, 250)]


def test_a_recording_is_found_by_id_or_by_its_folder_and_name(tmp_path: Path, corpus: Make) -> None:
    found = corpus({"id": "DC_a01", "wav": "DC/a01.wav"}, {"id": "JE_a01", "wav": "JE/a01.wav"}, {"id": "x", "wav": "x.wav"})
    put(tmp_path / "ctm" / "all.ctm", "DC_a01 1 0 1 by_id", "JE/a01 1 0 1 by_folder")
    sources = [each.alignment for each in with_textgrids(found, tmp_path / "ctm")]
    assert [None if each is None else alignment(each).words[0].label for each in sources] == ["by_id", "by_folder", None]
    apart = tmp_path / "apart"
    for speaker in ("DC", "JE"):
        put(apart / speaker / "words.ctm", f"a01 1 0 1 {speaker}")
    sources = [each.alignment for each in with_textgrids(found, apart)]
    assert [None if each is None else alignment(each).words[0].label for each in sources] == ["DC", "JE", None]
    put(tmp_path / "one" / "words.ctm", "a01 1 0 1 whose")
    with pytest.raises(CorpusError, match=r"'a01' in .*words.ctm could be .*DC/a01.wav or .*JE/a01.wav; call them by the ids"):
        with_textgrids(found, tmp_path / "one")
    for name in ("words", "more words"):
        put(tmp_path / "two" / f"{name}.ctm", "x 1 0 1 which")
    with pytest.raises(CorpusError, match="two files for 'x'"):
        with_textgrids(found, tmp_path / "two")
    put(tmp_path / "other" / "words.ctm", "y 1 0 1 nobody")
    with pytest.raises(CorpusError, match=r"0 TextGrids, none named .*, and CTM files of 1 recordings, the first 'y'"):
        with_textgrids(found, tmp_path / "other")


def test_a_part_is_cut_out_of_its_recording_and_a_textgrid_goes_before(tmp_path: Path, corpus: Make) -> None:
    rows = [{"id": f"p{n}", "wav": "talk.wav", "start": n, "end": n + 1} for n in range(2)]
    ctm = put(tmp_path / "ctm" / "a.ctm", "talk 1 0.25 0.5 zero", "talk 1 1.25 0.5 one").parent
    sources = [each.alignment for each in with_textgrids(corpus(*rows), ctm)]
    assert [alignment(each).words for each in sources] == [(Segment("zero", 250, 750),), (Segment("one", 250, 750),)]
    put(ctm / "b.ctm", "p1 1 0.0 0.5 own")  # lines of the part itself, from its beginning
    assert [alignment(each.alignment).words[0].label for each in with_textgrids(corpus(*rows), ctm)] == ["zero", "own"]
