import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus.alignment import AlignmentError, Segment
from mer.corpus.sphinx_alignment import SphinxAlignment

WDSEG = b"""\
\t SFrm  EFrm    SegAScr Word
\t    0     2    -117721 <s>
\t    3    20   -1052907 YOU'RE(2)
\t   21    30     -52907 <sil>
\t   31    60     -52907 ++LAUGHTER++
\t   61    80     -52907 EXTRA
\t   81    82     -52907 </s>
 Total score:    -1170628
"""
PHSEG = b"""\
\t SFrm  EFrm   SegAScr Phone
\t    0     2   -117721 SIL
\t    3     6    -20345 Y SIL ER b
\t    7    20    -33333 ER Y HH e
\t   21    30    -33333 SIL
\t   31    60    -33333 +LAUGHTER+
\t   61    62    -33333 EH SIL KD b
\t   63    64    -33333 KD EH S i
\t   65    66    -33333 S KD T i
\t   67    68    -33333 T S R i
\t   69    70    -33333 R T AX i
\t   71    80    -33333 AX R SIL e
\t   81    82    -33333 SIL
 Total score:     -171399
"""
SYSEG = b" SFrm  EFrm Syllable\n     3    20  Y_ER\n    61    66  EH_K_S\n    67    80  T_R_AX\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., SphinxAlignment]:
    def write(offset_ms: int = 0, **files: bytes) -> SphinxAlignment:
        paths = {suffix: tmp_path / f"Ses01F_impro01_F000.{suffix}" for suffix in files}
        for suffix, content in files.items():
            paths[suffix].write_bytes(content)
        return SphinxAlignment(**paths, offset_ms=offset_ms)

    return write


Write = Callable[..., SphinxAlignment]


def segments(*rows: tuple[str, int, int]) -> tuple[Segment, ...]:
    return tuple(Segment(*row) for row in rows)


WORDS = segments(("YOU'RE", 30, 210), ("++LAUGHTER++", 310, 610), ("EXTRA", 610, 810))


def test_end_frames_are_inclusive_and_silences_go(write: Write) -> None:
    alignment = write(wdseg=WDSEG, phseg=PHSEG, syseg=SYSEG).read()
    assert alignment.words == WORDS
    assert alignment.phones[:4] == segments(("Y", 30, 70), ("ER", 70, 210), ("+LAUGHTER+", 310, 610), ("EH", 610, 630))
    assert [p.label for p in alignment.phones[3:]] == ["EH", "K", "S", "T", "R", "AH"]
    assert alignment.syllables == segments(("Y_ER", 30, 210), ("EH_K_S", 610, 670), ("T_R_AX", 670, 810))


@pytest.mark.parametrize("files", [{}, {"syseg": b""}, {"syseg": b" SFrm  EFrm Syllable\n"}])
def test_syllables_are_derived_where_the_file_has_none(write: Write, files: dict[str, bytes]) -> None:
    alignment = write(wdseg=WDSEG, phseg=PHSEG, **files).read()
    assert alignment.syllables == segments(
        ("Y_ER", 30, 210), ("+LAUGHTER+", 310, 610), ("EH_K", 610, 650), ("S_T_R_AH", 650, 810)
    )


def test_words_are_derived_from_the_places_of_phones(write: Write) -> None:
    alignment = write(phseg=PHSEG).read()
    assert alignment.words == segments(("Y_ER", 30, 210), ("+LAUGHTER+", 310, 610), ("EH_K_S_T_R_AH", 610, 810))
    assert [s.label for s in alignment.syllables] == ["Y_ER", "+LAUGHTER+", "EH_K", "S_T_R_AH"]


def test_phones_without_places_give_no_words_but_syllables(write: Write) -> None:
    rows = b"\t    0     2   -1 T\n\t    3     6   -1 AY\n\t    9    10   -1 D AY SIL s\n"
    alignment = write(phseg=rows).read()
    assert alignment.words == segments(("D", 90, 110))
    assert alignment.syllables == segments(("T_AY", 0, 70), ("D", 90, 110))


def test_a_word_never_spans_a_pause(write: Write) -> None:
    rows = b"0 2 -1 D SIL UW b\n3 6 -1 SIL\n7 9 -1 UW D SIL e\n10 11 -1 AY SIL SIL s\n12 13 -1 T AY SIL e\n"
    assert write(phseg=rows).read().words == segments(("AY", 100, 120))


def test_fillers_can_be_left_out(write: Write) -> None:
    alignment = write(wdseg=WDSEG, phseg=PHSEG).read().without_fillers()
    labels = [s.label for tier in (alignment.words, alignment.phones, alignment.syllables) for s in tier]
    assert labels
    assert not any("LAUGHTER" in label for label in labels)


def test_the_offset_shifts_every_tier(write: Write) -> None:
    plain = write(wdseg=WDSEG, phseg=PHSEG, syseg=SYSEG).read()
    moved = write(20, wdseg=WDSEG, phseg=PHSEG, syseg=SYSEG).read()
    for tier in ("words", "phones", "syllables"):
        expected = tuple(Segment(s.label, s.start_ms + 20, s.end_ms + 20) for s in getattr(plain, tier))
        assert getattr(moved, tier) == expected
    assert write(20, phseg=PHSEG).read().words[0] == Segment("Y_ER", 50, 230)
    with pytest.raises(AlignmentError, match="0 ms or more, got -10"):
        SphinxAlignment(offset_ms=-10)


@pytest.mark.parametrize("content", [b"", b"\n", WDSEG.splitlines(keepends=True)[0], b" Total score: -1\n"])
def test_files_without_rows_give_empty_tiers(write: Write, content: bytes) -> None:
    alignment = write(wdseg=content, phseg=content).read()
    assert alignment.words == alignment.phones == alignment.syllables == ()


def test_files_with_silence_only_give_empty_tiers(write: Write) -> None:
    rows = b"\t    0     2    -117721 <s>\r\n\t    3    20   -1052907 <sil>\r\n\t   21    22  -7 </s>\r\n"
    assert write(wdseg=rows).read().words == ()


def test_line_ends_encoding_and_wide_numbers_do_not_matter(write: Write) -> None:
    crlf = WDSEG.replace(b"\n", b"\r\n").replace(b"EXTRA", b"EXTR\xc0")
    assert [w.label for w in write(wdseg=crlf).read().words] == ["YOU'RE", "++LAUGHTER++", "EXTRÀ"]
    wide = b"\t123456 123457 -12345678901 CAFE\n"
    assert write(wdseg=wide).read().words == segments(("CAFE", 1_234_560, 1_234_580))


@pytest.mark.parametrize(
    "content",
    [b"    3    20   -33 Y_ER\n", b"S E Syl\n 3 20 Y_ER\n 21 30 SIL\n", b"3\t20\tY_ER\r\n40 41 sil"],
)
def test_syllable_files_may_have_scores_silences_and_any_header(write: Write, content: bytes) -> None:
    assert write(syseg=content).read().syllables == segments(("Y_ER", 30, 210))


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        ("wdseg", WDSEG.replace(b"   21 ", b"   x1 "), r"\.wdseg:4: expected .*got 'x1"),
        ("wdseg", WDSEG.replace(b"   21    30", b"   21   3.5"), r"\.wdseg:4: expected"),
        ("wdseg", WDSEG.replace(b" <sil>", b""), r"\.wdseg:4: expected"),
        ("wdseg", WDSEG + WDSEG.splitlines(keepends=True)[0], r"\.wdseg:9: expected"),
        ("wdseg", b"0 2 -1 <s>\n SFrm EFrm SegAScr Word\n", r"\.wdseg:2: expected"),
        ("wdseg", b"Something else\n" + WDSEG, r"\.wdseg:1: expected"),
        (
            "phseg",
            PHSEG.replace(b"   21    30", b"   21    20"),
            r"\.phseg:5: ends before it starts .*21 to 20",
        ),
        ("phseg", PHSEG.replace(b"   21    30", b"   20    30"), r"\.phseg:5: .* overlap .* with frame 20"),
        ("syseg", SYSEG.replace(b"    67", b"    66"), r"\.syseg:4: .* overlap"),
        ("syseg", SYSEG.replace(b"    67    80", b"    67    xx"), r"\.syseg:4: expected"),
        ("syseg", SYSEG + b"Again a header\n", r"\.syseg:5: expected"),
        ("wdseg", b"1" * 5000 + b" 2 -3 A\n", r"\.wdseg:1: expected"),
        ("wdseg", b" " * (2**22 + 1), r"\.wdseg: larger than 4194304 bytes"),
    ],
)
def test_malformed_files_are_named_with_their_line(write: Write, suffix: str, content: bytes, message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        write(**{suffix: content}).read()


def test_a_file_that_has_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(AlignmentError, match=r"gone\.wdseg: cannot be read \(No such file"):
        SphinxAlignment(wdseg=tmp_path / "gone.wdseg").read()


def test_a_source_is_hashable_picklable_and_names_its_files() -> None:
    source = SphinxAlignment(wdseg=Path("a.wdseg"), syseg=Path("a.syseg"), offset_ms=20)
    assert source.kind == "corpus"
    assert source.paths == (Path("a.wdseg"), Path("a.syseg"))
    assert pickle.loads(pickle.dumps(source)) == source
    assert len({source, SphinxAlignment(wdseg=Path("a.wdseg"), syseg=Path("a.syseg"), offset_ms=20)}) == 1


ROW = st.builds(
    lambda *cells: b"\t%b %b %b %b\n" % cells,
    *[st.integers(0, 99).map(lambda n: b"%d" % n) | st.sampled_from([b"", b"-1", b"\xa0", b"1_0", b"nan"])] * 3,
    st.sampled_from([b"AH", b"SIL", b"AX B C s", b"<s>", b"\x85", b"", b"AH(2)", b"(2)", b"+N+", b"A\x00"]),
)


@given(st.lists(ROW | st.binary(max_size=20), max_size=6).map(b"".join))
def test_any_bytes_give_ordered_tiers_or_an_alignment_error(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        paths = [Path(folder, f"a.{suffix}") for suffix in ("wdseg", "phseg", "syseg")]
        for path in paths:
            path.write_bytes(content)
        for source in (
            SphinxAlignment(wdseg=paths[0], phseg=paths[1]),
            SphinxAlignment(phseg=paths[1]),
            SphinxAlignment(syseg=paths[2]),
        ):
            try:
                alignment = source.read()
            except AlignmentError:
                continue
            for tier in (alignment.words, alignment.phones, alignment.syllables):
                assert all(s.start_ms < s.end_ms and s.label for s in tier)
                assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(tier))
