import codecs
import logging
import pickle
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus import praat_alignment
from mer.corpus.alignment import AlignmentError, Segment
from mer.corpus.praat_alignment import TextGridAlignment

Interval = tuple[float | str, float | str, str]
WORDS: list[Interval] = [(0, 0.1, ""), (0.1, 0.58, "extra"), (0.58, 0.7, "<unk>"), (0.7, 1, "")]
PHONES: list[Interval] = [
    (0, 0.1, ""),
    (0.1, 0.2, "EH1"),
    (0.2, 0.25, "K"),
    (0.25, 0.3, "S"),
    (0.3, 0.35, "T"),
    (0.35, 0.4, "R"),
    (0.4, 0.58, "AH0"),
    (0.58, 0.7, "spn"),
    (0.7, 1, "sil"),
]


def long_format(tiers: Mapping[str, Sequence[Interval]], end: float | str = 1) -> str:
    """As praatio writes it for the Montreal Forced Aligner."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", f"xmax = {end} "]
    lines += ["tiers? <exists> ", f"size = {len(tiers)} ", "item []: "]
    for i, (name, intervals) in enumerate(tiers.items(), start=1):
        lines += [f"    item [{i}]:", '        class = "IntervalTier" ', f'        name = "{name}" ']
        lines += [
            "        xmin = 0 ",
            f"        xmax = {end} ",
            f"        intervals: size = {len(intervals)} ",
        ]
        for j, (first, last, mark) in enumerate(intervals, start=1):
            lines += [
                f"        intervals [{j}]:",
                f"            xmin = {first} ",
                f"            xmax = {last} ",
            ]
            lines.append('            text = "{}" '.format(mark.replace('"', '""')))
    return "\n".join([*lines, ""])


def short_format(tiers: Mapping[str, Sequence[Interval]], end: float = 1) -> str:
    lines = ['File type = "ooTextFile short"', '"TextGrid"', "", "0", f"{end}", "<exists>", f"{len(tiers)}"]
    for name, intervals in tiers.items():
        lines += ['"IntervalTier"', f'"{name}"', "0", f"{end}", f"{len(intervals)}"]
        lines += [line for first, last, mark in intervals for line in (f"{first}", f"{last}", f'"{mark}"')]
    return "\n".join([*lines, ""])


Write = Callable[..., TextGridAlignment]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes, speaker: str | None = None) -> TextGridAlignment:
        path = tmp_path / "a.TextGrid"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return TextGridAlignment(path=path, speaker=speaker)

    return write


def segments(*rows: tuple[str, int, int]) -> tuple[Segment, ...]:
    return tuple(Segment(*row) for row in rows)


GRID = long_format({"words": WORDS, "phones": PHONES})
EXPECTED_WORDS = segments(("extra", 100, 580), ("<unk>", 580, 700))


@pytest.mark.parametrize(
    "content",
    [
        GRID.encode(),
        GRID.replace("\n", "\r\n").encode(),
        codecs.BOM_UTF8 + GRID.encode(),
        GRID.encode("utf-16"),
        codecs.BOM_UTF16_BE + GRID.encode("utf-16-be"),
        short_format({"words": WORDS, "phones": PHONES}).encode(),
        long_format({"Phones": PHONES, "notes": [(0, 1, "x")], "WORD": WORDS}).encode(),
        long_format({"ORT-MAU": WORDS, "KAN-MAU": [(0.1, 0.58, "EkstrV")], "MAU": PHONES}).encode(),
    ],
    ids=["long", "crlf", "utf-8 bom", "utf-16", "utf-16 be", "short", "names", "WebMAUS"],
)
def test_every_spelling_of_a_file_reads_the_same(write: Write, content: bytes) -> None:
    alignment = write(content).read()
    assert alignment.words == EXPECTED_WORDS
    assert [p.label for p in alignment.phones] == ["EH", "K", "S", "T", "R", "AH", "spn"]
    assert alignment.phones[0] == Segment("EH", 100, 200)
    assert alignment.syllables == segments(("EH_K", 100, 250), ("S_T_R_AH", 250, 580), ("spn", 580, 700))
    assert alignment.without_fillers().words == EXPECTED_WORDS[:1]


def test_a_syllables_tier_is_taken_as_it_is(write: Write) -> None:
    tier: list[Interval] = [(0.1, 0.3, "EH_K_S"), (0.3, 0.58, "T_R_AH")]
    alignment = write(long_format({"words": WORDS, "phones": PHONES, "syllables": tier})).read()
    assert alignment.syllables == segments(("EH_K_S", 100, 300), ("T_R_AH", 300, 580))


def test_ipa_is_kept_and_gives_syllables_by_sonority(write: Write) -> None:
    ipa: list[Interval] = [(0.1, 0.2, "ɛ"), (0.2, 0.3, "tʰ"), (0.3, 0.58, "aj")]
    alignment = write(long_format({"words": WORDS, "phones": ipa})).read()
    assert [p.label for p in alignment.phones] == ["ɛ", "tʰ", "aj"]
    assert alignment.syllables == segments(("ɛ", 100, 200), ("tʰ_aj", 200, 580))


def test_one_of_words_and_phones_is_enough(write: Write) -> None:
    words = write(long_format({"words": WORDS})).read()
    assert (words.words, words.phones, words.syllables) == (EXPECTED_WORDS, (), ())
    phones = write(long_format({"phones": PHONES})).read()
    assert phones.words == ()
    assert [s.label for s in phones.syllables] == ["EH_K", "S_T_R_AH", "spn"]


def test_of_several_speakers_the_utterances_own_is_taken(write: Write) -> None:
    other: list[Interval] = [(0.2, 0.3, "other")]
    tiers: dict[str, Sequence[Interval]] = {
        "ann - words": other,
        "ann - phones": [],
        "bob - words": WORDS,
        "bob - phones": PHONES,
    }
    assert write(long_format(tiers), speaker="bob").read().words == EXPECTED_WORDS
    assert write(long_format(tiers), speaker="ann").read().words == segments(("other", 200, 300))
    with pytest.raises(AlignmentError, match=r"several speakers \(ann, bob\), none of them 'eve'"):
        write(long_format(tiers), speaker="eve").read()
    with pytest.raises(AlignmentError, match="none of them None"):
        write(long_format(tiers)).read()


def test_the_only_speakers_tiers_are_taken_whoever_that_is(write: Write) -> None:
    tiers = {"a - b - words": WORDS, "a - b - phones": PHONES}
    assert write(long_format(tiers), speaker="1F").read().words == EXPECTED_WORDS


def test_tiers_of_two_speakers_are_never_mixed(write: Write) -> None:
    alignment = write(long_format({"ann - words": WORDS, "bob - phones": PHONES}), speaker="ann").read()
    assert (alignment.words, alignment.phones) == (EXPECTED_WORDS, ())


def test_times_are_rounded_to_milliseconds_and_what_is_then_empty_vanishes(write: Write) -> None:
    tier: list[Interval] = [(0.1, 0.58004, "a"), (0.57996, 0.5804, "b"), (0.58, 0.58, "c"), (0.5804, 1, "d")]
    assert write(long_format({"words": tier})).read().words == segments(("a", 100, 580), ("d", 580, 1000))


def test_every_time_on_the_10_ms_grid_is_exact(write: Write) -> None:
    tier: list[Interval] = [(f"{i / 100}", f"{(i + 1) / 100}", "x") for i in range(0, 300)]
    words = write(long_format({"words": tier}, end=3)).read().words
    assert [w.start_ms for w in words] == list(range(0, 3000, 10))


def test_quotes_and_line_ends_in_labels_are_read(write: Write) -> None:
    assert write(long_format({"words": [(0, 1, 'say "a"\nb')]})).read().words[0].label == 'say "a" b'


PAUSES = """
[SIL] [sil] <sil> SIL sil ssil sp SP sp1 <sp> {SP} <p:> <P> <p> {p} _ # ## (.) (..) ... \u2026 - \u2014 | \u2016 + * % silence
Silence
SILENCE <silence> [SILENCE] <pause> [pause] (pause) pause PAUSE {SL} <eps> <s> </s> pau h# #h !SIL !ENTER sil_B SIL_S sil1 silB
SENT-END (0.5) [0.3s] [pause_1.2] -sil- [silence]
"""
SPACED_PAUSES = ["(1.2 s)", "[pause 0.5 s]", "(short pause)", "<long silence>", " ", ". . ."]
UNITS = """
spn [laughter] <breath> {LG} ++BREATH++ <unk> <usb> xxx p s P S @ { } & ? @` 6 2: 9 \u02d0 \u0294 \u01c3 uh-huh o' 3 [noise] (uh)
[unk]
<nib> silent silly space \u4f60 \u0627
"""


def with_pauses(intervals: Sequence[Interval], pause: str) -> list[Interval]:
    return [(start, end, label if label not in ("", "sil") else pause) for start, end, label in intervals]


@pytest.mark.parametrize("pause", [*PAUSES.split(), *SPACED_PAUSES])
def test_pauses_of_any_aligner_are_no_units(write: Write, pause: str) -> None:
    tiers: dict[str, Sequence[Interval]] = {"words": with_pauses(WORDS, pause), "phones": with_pauses(PHONES, pause)}
    alignment = write(long_format(tiers)).read()
    assert alignment == write(GRID).read()
    assert write(long_format(tiers | {"syllables": [(0, 1, pause)]})).read() == alignment
    assert write(long_format({"words": tiers["words"]})).read().words == EXPECTED_WORDS


@pytest.mark.parametrize("unit", UNITS.split())
def test_what_is_spoken_or_may_be_is_a_unit(write: Write, unit: str) -> None:
    alignment = write(long_format({"words": [(0, 0.5, unit)], "phones": [(0, 0.5, unit), (0.5, 1, "AH0")]})).read()
    assert (len(alignment.words), len(alignment.phones)) == (1, 2)


@pytest.mark.parametrize(
    ("filler", "dropped"),
    [("[laughter]", True), ("<breath>", True), ("{NS}", True), ("spn", True), ("(uh)", False), ("p", False)],
)
def test_fillers_are_dropped_on_demand(write: Write, filler: str, dropped: bool) -> None:
    alignment = write(long_format({"words": [(0, 0.5, filler)], "phones": [(0.5, 1, "AH0")]})).read()
    assert len(alignment.words) == 1
    assert (alignment.without_fillers().words == ()) is dropped


def test_silence_and_pause_are_words_where_they_are_spoken(write: Write) -> None:
    words: list[Interval] = [(0, 0.2, "silence"), (0.2, 0.6, "silence"), (0.6, 1, "pause")]
    phones: list[Interval] = [(0, 0.2, "silence"), (0.2, 0.4, "S"), (0.4, 0.6, "AY1"), (0.6, 1, "sil")]
    assert write(long_format({"words": words, "phones": phones})).read().words == segments(("silence", 200, 600))


def test_a_tier_of_pauses_gives_way_to_syllables_of_the_phones(write: Write) -> None:
    tiers: dict[str, Sequence[Interval]] = {"words": WORDS, "phones": PHONES, "syllables": [(0.0, 1.0, "")]}
    assert write(long_format(tiers)).read().syllables == write(GRID).read().syllables


def with_counts(content: str, wrong: Mapping[str, int]) -> str:
    """The grid with other numbers of parts, by tier; `""` is the number of tiers."""
    lines = content.split("\n")
    name = ""
    for place, line in enumerate(lines):
        name = line.split('"')[1] if "name =" in line else name
        if line.strip().startswith("size =") and "" in wrong:
            lines[place] = f"size = {wrong['']} "
        elif "intervals: size =" in line and name in wrong:
            lines[place] = f"        intervals: size = {wrong[name]} "
    return "\n".join(lines)


@pytest.mark.parametrize("wrong", [{"words": 2}, {"phones": 0}, {"words": 1, "phones": 3}, {"": 1}, {"": 0, "phones": 8}])
def test_tiers_that_hold_more_than_they_say_are_read_whole(write: Write, wrong: Mapping[str, int]) -> None:
    assert write(with_counts(GRID, wrong)).read() == write(GRID).read()
    short = short_format({"words": WORDS, "phones": PHONES})
    fewer = short.replace(f"\n{len(WORDS)}\n", "\n1\n").replace(f"\n{len(PHONES)}\n", "\n2\n")
    assert write(fewer).read() == write(GRID).read()


@pytest.mark.parametrize(
    ("wrong", "message"), [({"words": 5}, "'words' says it has 5 parts, and 4"), ({"": 3}, "says it has 3 tiers")]
)
def test_tiers_that_hold_less_than_they_say_are_refused(write: Write, wrong: Mapping[str, int], message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        write(with_counts(GRID, wrong)).read()


def test_intervals_out_of_order_are_put_in_order(write: Write) -> None:
    assert write(long_format({"words": WORDS[::-1], "phones": PHONES[3:] + PHONES[:3]})).read() == write(GRID).read()


OVERLAP: list[Interval] = [(0.1, 0.3, "one"), (0.25, 0.5, "two")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b" \r\n", "the file is empty"),
        ("not a grid\n", "not a TextGrid that can be read"),
        (GRID[: len(GRID) // 2], "not a TextGrid that can be read"),
        (GRID.replace("0.58", "zero"), "not a TextGrid that can be read"),
        (GRID.replace("extra", "caf\xe9").encode("latin-1"), r"not UTF-8 \(byte \d+\), perhaps Latin-1"),
        (codecs.BOM_UTF16_LE + b"\x00", r"not UTF-16 \(byte"),
        (GRID.split("tiers?")[0] + "tiers? <absent>\n", "has no tiers"),
        (short_format({}).replace("<exists>\n0", "<absent>"), "has no tiers"),
        (long_format({}), r"no interval tier named `words` or `phones` \(found: none\)"),
        (long_format({"Mary": WORDS, "syllables": []}), r"\(found: 'Mary', 'syllables'\)"),
        (long_format({"words": OVERLAP}), r"overlap, 'one' 0.1-0.3 s and 'two' 0.25-0.5 s"),
        (long_format({"words": [(0.1, 1.2, "late")]}), "reaches beyond the 1.0 s"),
        (long_format({"words": [(0.5, 0.3, "back")]}), "'back' from 0.5 to 0.3 s ends before it starts"),
        (long_format({"words": [(0.2, "nan", "odd")]}), "'odd' from 0.2 to nan"),
        (b"ooBinaryFile\x08TextGrid\0\0", "a binary TextGrid"),
        ('File type = "ooTextFile"\n"Praat chronological TextGrid text file"\n0 1\n', "not a TextGrid that can be read"),
        (
            long_format({"words": [(-0.2, 0.2, "early")]}).replace("xmin = 0 ", "xmin = -1"),
            "'early' from -0.2",
        ),
        (long_format({"words": [(0.2, "inf", "ever")]}, end="inf"), "'ever' from 0.2 to inf s"),
        (long_format({"words": [(0.2, "1e300", "ever")]}, end="1e300"), "'ever' from 0.2 to 1e"),
    ],
)
def test_unusable_files_are_refused_with_their_name(write: Write, content: str | bytes, message: str) -> None:
    with pytest.raises(AlignmentError, match=r"a\.TextGrid: .*" + message):
        write(content).read()


def test_point_tiers_are_no_words(write: Write) -> None:
    points = GRID.split("item []")[0].replace("size = 2", "size = 1") + (
        'item []: \n item [1]:\n class = "TextTier"\n name = "words"\n xmin = 0\n xmax = 1\n'
        ' points: size = 1\n points [1]:\n number = 0.5\n mark = "x"\n'
    )
    with pytest.raises(AlignmentError, match="found: none"):
        write(points).read()


def test_large_files_are_refused_unread(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(praat_alignment, "MAX_BYTES", len(GRID) - 1)
    with pytest.raises(AlignmentError, match="larger than"):
        write(GRID).read()
    monkeypatch.setattr(praat_alignment, "MAX_BYTES", len(GRID))
    assert write(GRID).read().words == EXPECTED_WORDS


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AlignmentError, match=r"gone\.TextGrid: cannot be read \(No such file"):
        TextGridAlignment(path=tmp_path / "gone.TextGrid").read()


def test_reading_leaves_logging_alone(write: Write) -> None:
    before = list(logging.getLogger().handlers)
    with pytest.raises(AlignmentError, match="overlap"):
        write(long_format({"words": OVERLAP})).read()
    assert logging.getLogger().handlers == before


def test_a_source_is_hashable_picklable_and_names_its_file() -> None:
    source = TextGridAlignment(path=Path("a.TextGrid"), speaker="1F")
    assert (source.kind, source.paths) == ("textgrid", (Path("a.TextGrid"),))
    assert pickle.loads(pickle.dumps(source)) == source
    assert hash(source) != hash(TextGridAlignment(path=Path("a.TextGrid"), speaker="1M"))


LINES = GRID.split("\n")
MUTATION = st.tuples(
    st.integers(0, len(LINES) - 1),
    st.sampled_from(["", "xmin = -1", "xmax = nan", 'text = "', "size = 99", "inf", '"IntervalTier"', "\x00", "é"]),
)


@given(st.lists(MUTATION, max_size=4))
def test_damaged_files_give_ordered_tiers_or_an_alignment_error(mutations: list[tuple[int, str]]) -> None:
    lines = list(LINES)
    for index, line in mutations:
        lines[index] = line
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.TextGrid")
        path.write_text("\n".join(lines), encoding="utf-8")
        try:
            alignment = TextGridAlignment(path=path).read()
        except AlignmentError:
            return
    for tier in (alignment.words, alignment.phones, alignment.syllables):
        assert all(0 <= s.start_ms < s.end_ms and s.label for s in tier)
        assert all(a.end_ms <= b.start_ms for a, b in pairwise(tier))


@given(st.binary(max_size=200))
def test_any_bytes_give_an_alignment_error(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.TextGrid")
        path.write_bytes(content)
        with pytest.raises(AlignmentError, match=r"a\.TextGrid: "):
            TextGridAlignment(path=path).read()
