import csv
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.corpus.manifest import read_manifest
from mer.corpus.open_corpus import open_corpus
from mer.corpus.praat_alignment import TextGridAlignment
from mer.corpus.utterance import CorpusError
from mer.corpus.wanted import Wanted

Row = dict[str, object]
ROW: Row = {"id": "u1", "wav": "a.wav", "text": "Hi.", "label": "joy", "speaker": "s1", "session": "A"}
MakeRelease = Callable[[dict[str, list[tuple[str, str, str]]]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: Row, name: str = "My corpus.jsonl") -> Path:
        for letter in "abcd":
            (tmp_path / f"{letter}.wav").touch()
        path = tmp_path / name
        if name.endswith(".csv"):
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


Write = Callable[..., Path]


@pytest.mark.parametrize("name", ["My corpus.jsonl", "my_corpus.csv", "MY--CORPUS.CSV".lower()])
def test_a_manifest_is_read(write: Write, tmp_path: Path, name: str) -> None:
    extra = {"dialogue": "d1", "style": "scripted", "textgrid": "grids/u0.TextGrid"}
    corpus = read_manifest(
        write(ROW | {"textgrid": "", "style": "", "dialogue": ""}, ROW | {"id": "u0", "wav": "b.wav"} | extra, name=name)
    )
    assert (corpus.name, corpus.kind, corpus.synthetic, corpus.problems) == (
        "my-corpus",
        "manifest",
        False,
        (),
    )
    first, second = corpus
    assert (first.id, second.id) == ("u0", "u1")
    assert second.wav == tmp_path / "a.wav"
    assert (second.text, second.label, second.speaker, second.session) == ("Hi.", "joy", "s1", "A")
    assert (second.dialogue, second.style, second.alignment) == ("", "", None)
    assert (first.dialogue, first.style) == ("d1", "scripted")
    assert first.alignment == TextGridAlignment(path=tmp_path / "grids/u0.TextGrid", speaker="s1")


def test_emobox_rows_are_read_and_their_other_columns_are_known(write: Write) -> None:
    row: Row = {
        "key": "k1",
        "dataset": "x",
        "wav": "a.wav",
        "type": "raw",
        "sample_rate": 16000,
        "length": 3.4,
    }
    row |= {"num_frame": 54400.0, "task": "category", "emo": "ang", "channel": 1, "spk": 7, "session": 1}
    corpus = read_manifest(write(row))
    (utterance,) = corpus
    assert (utterance.id, utterance.label, utterance.speaker, utterance.session) == ("k1", "ang", "7", "1")
    assert utterance.text is None
    assert [p.kind for p in corpus.problems] == ["label without transcript"]


def test_unknown_columns_and_missing_audio_are_problems(write: Write) -> None:
    rows = [ROW | {"mood": "x"}, ROW | {"id": "u2", "mood": "y", "key": "z", "wav": "b" * 300}]
    corpus = read_manifest(write(*rows))
    assert len(corpus) == 2
    found = {(p.kind, p.where.rpartition("/")[2]) for p in corpus.problems}
    assert found == {("unknown column", "My corpus.jsonl"), ("other columns", "My corpus.jsonl"), ("label without wav", "u2")}
    assert [dict(each.columns or {}) for each in corpus] == [{"mood": "x"}, {"mood": "y", "key": "z"}]


def test_sessions_and_labels_select(write: Write) -> None:
    rows = [ROW, ROW | {"id": "u2", "session": "B", "wav": "gone.wav"}, ROW | {"id": "u3", "wav": "b.wav", "label": "rage"}]
    path = write(*rows)
    assert [u.id for u in read_manifest(path)] == ["u1", "u3", "u2"]
    corpus = read_manifest(path, Wanted(sessions=["A"], labels=frozenset({"joy"})))
    assert [u.id for u in corpus] == ["u1"]
    assert corpus.problems == ()
    with pytest.raises(CorpusError, match="no session C, D; there are A, B"):
        read_manifest(path, Wanted(sessions=["C", "A", "D"]))
    with pytest.raises(CorpusError, match=r"\(none asked for\)"):
        read_manifest(path, Wanted(sessions=[]))
    with pytest.raises(CorpusError, match="no utterance has a label of foo; labels there: joy, rage"):
        read_manifest(path, Wanted(labels=frozenset({"foo"})))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"wav": "/etc/passwd"},
            r"wav '/etc/passwd' must be relative to the manifest's folder \(or --audio-root\) and stay in it",
        ),
        ({"wav": "x/../../b.wav"}, "must be relative"),
        ({"textgrid": "../a.TextGrid"}, "textgrid '../a.TextGrid' must be relative"),
        ({"wav": "link/b.wav"}, "leaves the manifest's folder through a symbolic link"),
        ({"textgrid": "away.TextGrid"}, "leaves the manifest's folder through a symbolic link"),
        ({"wav": "a\0.wav"}, r"wav 'a\\x00.wav' holds a control character"),
        ({"wav": 5}, "wav must be text, got 5"),
        ({"wav": None}, "no wav"),
        ({"wav": ""}, "no wav"),
        ({"id": None}, "no id"),
        ({"speaker": None, "session": " "}, "no speaker, session"),
        ({"id": "i" * 65}, "is longer than 64 bytes"),
        ({"id": "é" * 33}, "is longer than 64 bytes"),
        ({"id": "a\nb"}, r"id 'a\\nb' holds a control character"),
        ({"id": "\ud800"}, "holds a control character"),
        ({"id": 1.5}, "id must be text or a whole number, got 1.5"),
        ({"id": True}, "id must be text or a whole number, got True"),
        ({"id": 10**70}, "more than 64 digits"),
        ({"style": ["x"]}, "style must be text"),
        ({"speaker": "a\u2028b"}, "speaker 'a.*b' holds a control character"),
        ({"text": "a\0"}, "text must be valid text without NUL"),
        ({"text": "\ud800"}, "text must be valid text without NUL"),
        ({"text": 3}, "text must be valid text"),
        ({"session": None}, "no session"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(write: Write, tmp_path: Path, change: Row, message: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path)
    (inside / "away.TextGrid").symlink_to(tmp_path / "My corpus.jsonl")
    path = write(ROW | {"id": "u0"}, ROW | change).rename(inside / "m.jsonl")
    with pytest.raises(CorpusError, match=r"m\.jsonl: 1 row cannot be used:\n  line 2: .*" + message):
        read_manifest(path)


def test_ids_of_64_bytes_and_links_inside_the_folder_are_fine(write: Write, tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to("a.wav")
    corpus = read_manifest(write(ROW | {"id": "é" * 32, "wav": "link.wav"}))
    assert corpus.problems == ()
    assert corpus.utterances[0].wav == tmp_path / "link.wav"


def test_the_folder_itself_may_be_a_link(write: Write, tmp_path: Path) -> None:
    path = write(ROW)
    link = tmp_path.with_name(tmp_path.name + "-link")
    link.symlink_to(tmp_path)
    assert read_manifest(link / path.name).problems == ()


def test_all_bad_rows_are_reported_at_once(write: Write) -> None:
    path = write(*[ROW | {"id": f"u{i}", "speaker": None, "session": "", "wav": ".."} for i in range(25)], ROW, ROW)
    with pytest.raises(CorpusError, match="26 rows cannot be used") as caught:
        read_manifest(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[1].startswith("  line 1: wav '..' must be relative")
    assert lines[1].endswith("; no speaker, session")
    assert lines[-1] == "  and 6 more"


def test_duplicate_ids_name_both_lines(write: Write) -> None:
    with pytest.raises(CorpusError, match="line 3: id 'u1' is used already in line 1"):
        read_manifest(write(ROW, ROW | {"id": "u2"}, ROW | {"id": " u1 "}))


@pytest.mark.parametrize("column", ["wav", "label"])
def test_a_missing_column_is_named_once(write: Write, column: str) -> None:
    row = {name: value for name, value in ROW.items() if name != column}
    with pytest.raises(CorpusError, match=rf"no column {column} in any row.* Needed: id, wav, label, speaker"):
        read_manifest(write(row, row))


def test_a_missing_session_column_says_what_it_is_for(write: Write) -> None:
    row = {name: value for name, value in ROW.items() if name not in ("session", "speaker")}
    with pytest.raises(CorpusError, match=r"no column speaker, session.*`session` says which utterances are tested together"):
        read_manifest(write(row))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.jsonl", b"", "the manifest has no rows"),
        ("m.csv", b"id,wav,label,speaker,session\n", "the manifest has no rows"),
        (
            "m.jsonl",
            b'{"id": \n\n[1]\n"x"\n' + b"[" * 100_000,
            r"4 rows .*\n  line 1: not JSON .*\n  line 3: expected one",
        ),
        ("m.jsonl", b'{"id": "\xe9"}', r"not UTF-8 \(byte 8 is 0xE9\).*--encoding cp1252"),
        ("m.csv", b"id,wav,label,speaker,session\nu,a.wav,joy,s\n", "line 2: 4 cells under 5 columns"),
        ("m.csv", b"id,wav,label,speaker,session\nu,a.wav,joy,s,A,B\n", "line 2: 6 cells under 5 columns"),
        ("m.csv", b"id,wav,id\nu,a.wav,v\n", "the header names 'id' twice"),
        ("m.csv", b'id,wav\nu,"' + b"x" * 200_000 + b'"\n', r"m\.csv:2: not CSV \(field larger"),
        ("m.json", b"[]", r"must end with \.jsonl or \.csv or \.tsv or \.txt"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read_manifest(path)
    with pytest.raises(CorpusError, match="cannot be read"):
        read_manifest(tmp_path / "gone.csv")


def test_byte_order_marks_crlf_and_blank_lines_are_tolerated(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    header, row = "id, wav, text, label, speaker, session", 'u1, a.wav, "Hi, you", joy, s1, A'
    path = tmp_path / "m.csv"
    path.write_bytes(("\ufeff" + "\r\n".join([header, "", row, ""])).encode())
    assert [u.text for u in read_manifest(path)] == ["Hi, you"]
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROW | {"text": "a\u2028b"}, ensure_ascii=False).encode() + b"\r\n\r\n")
    assert [u.text for u in read_manifest(path)] == ["a\u2028b"]


def test_an_empty_cell_of_a_csv_is_no_text(write: Write) -> None:
    corpus = read_manifest(write(ROW | {"text": ""}, ROW | {"id": "u2", "wav": "b.wav"}, name="m.csv"))
    assert [u.text for u in corpus] == [None, "Hi."]
    assert [(p.kind, p.where) for p in corpus.problems] == [("label without transcript", "u1")]


def test_a_manifest_beside_synthetic_speech_is_synthetic(write: Write, tmp_path: Path) -> None:
    (tmp_path / "SYNTHETIC.json").write_text("{}")
    assert read_manifest(write(ROW)).synthetic


def test_a_name_without_letters_still_names_the_corpus(write: Write) -> None:
    assert read_manifest(write(ROW, name="日本.jsonl")).name == "manifest"


VALUE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=70), st.lists(st.none()))
COLUMNS = ["id", "key", "wav", "text", "label", "emo", "speaker", "session", "textgrid", "style", "other"]


@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), VALUE | st.sampled_from(["a", "b"])), max_size=4))
def test_any_json_rows_give_a_corpus_or_a_corpus_error(rows: Sequence[dict[str, object]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "m.jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        try:
            corpus = read_manifest(path)
        except CorpusError:
            return
        for utterance in corpus:
            assert os.path.realpath(utterance.wav).startswith(os.path.realpath(folder))
            assert len(utterance.id.encode()) <= 64


@given(st.binary(max_size=80) | st.text(alphabet='id,wav"\n session', max_size=60).map(str.encode))
def test_any_bytes_give_a_corpus_or_a_corpus_error(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        for name in ("m.csv", "m.jsonl"):
            path = Path(folder, name)
            path.write_bytes(b"id,wav,label,speaker,session\na,a,a,a,a\n" * (name == "m.csv") + content)
            try:
                ids = [utterance.id for utterance in read_manifest(path)]
            except CorpusError:
                continue
            assert len(set(ids)) == len(ids)


def test_open_corpus_tells_folders_from_manifests(write: Write, make_release: MakeRelease, tmp_path: Path) -> None:
    path = write(ROW)
    assert open_corpus(path, sessions=["A"], labels=frozenset({"joy"})).kind == "manifest"
    root = make_release({"Ses01F_impro01": [("F000", "neu", "One."), ("F001", "ang", "Two.")]})
    corpus = open_corpus(root, sessions=["1"], labels=frozenset({"ang"}), alignment_offset_ms=20)
    assert [u.label for u in corpus] == ["ang"]
    alignment = corpus.utterances[0].alignment
    assert alignment is not None
    assert alignment.read().words[0].start_ms == 50
    with pytest.raises(CorpusError, match=r"alignment offset \(20 ms\) is for IEMOCAP"):
        open_corpus(path, alignment_offset_ms=20)
    with pytest.raises(CorpusError, match="no such file or folder"):
        open_corpus(tmp_path / "nowhere.jsonl")
