"""The same rows in every dialect that people save tables in, and rows that are filled in, left out or merged."""

import json
from pathlib import Path

import pytest

from mer.corpus.manifest import read_manifest
from mer.corpus.utterance import Corpus, CorpusError
from mer.corpus.wanted import Wanted
from mer.status.doctor.corpus_state import survey

HEADER = ["id", "wav", "text", "label", "speaker", "session"]
ROWS = [
    ["u1", "a/1.wav", "Oh, it's you; yes | no", "angry", "anna", "1"],
    ["u2", "a/2.wav", "Schön", "sad", "ben", "2"],
]


def table(delimiter: str = ",", header: list[str] = HEADER, end: str = "\n", tail: str = "") -> str:
    lines = [header, *([f'"{cell}"' for cell in row] for row in ROWS)]
    return "".join(delimiter.join(line) + tail + end for line in lines)


def said(corpus: Corpus) -> list[list[str | None]]:
    return [[each.id, each.wav.name, each.text, each.label, each.speaker, each.session] for each in corpus]


EXPECTED = [[row[0], Path(row[1]).name, *row[2:]] for row in ROWS]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", table().encode()),
        ("m.csv", table(";").encode()),
        ("m.tsv", table("\t", end="\r\n").encode("utf-8-sig")),
        ("m.txt", table("|").encode()),
        ("m.csv", table(";").encode("utf-16")),
        ("m.jsonl", "".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in ROWS).encode("utf-16")),
        ("m.csv", table(tail=",").encode()),
        ("m.csv", (table() + ",,,,,\n").encode()),
        ("m.csv", table(header=["Utterance_ID", "File Name", "Transcription", " EMOTION", "Speaker-ID", "Session"]).encode()),
        ("m.csv", table(header=["key", "path", "sentence", "emo", "spk", "session"]).encode()),
        ("m.csv", table().replace("a/", "a\\").encode()),
        ("m.csv", table().replace("a/", "D:\\data\\corpus\\a\\").encode()),
        ("m.csv", table().replace("a/", "/home/other/corpus/a/").encode()),
    ],
)
def test_a_table_is_read_in_the_dialect_that_it_is_in(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "corpus" / name
    path.parent.mkdir()
    path.write_bytes(content)
    corpus = read_manifest(path)
    assert said(corpus) == EXPECTED
    assert {each.wav.parent for each in corpus} == {path.parent / "a"}


def test_another_encoding_is_read_where_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(table().encode("cp1252"))
    with pytest.raises(CorpusError, match=r"is 0xF6.*--encoding cp1252"):
        read_manifest(path)
    assert said(read_manifest(path, Wanted(encoding="cp1252"))) == EXPECTED
    found = survey(path, given=True, how=Wanted(encoding="cp1252"))
    assert "2 utterances" in found.checks[0].found
    assert found.census is not None
    with pytest.raises(CorpusError, match="no encoding is called 'x1'"):
        read_manifest(path, Wanted(encoding="x1"))


def test_recordings_may_lie_below_another_folder(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(table())
    root = tmp_path / "disk"
    assert [each.wav for each in read_manifest(path, Wanted(audio_root=root))] == [root / "a/1.wav", root / "a/2.wav"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_what_a_row_leaves_out_is_filled_in_and_said(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    rows = [
        ("x/1.wav", "Happy", "a", "ang:2;neu:1"),
        ("x/2.wav", "happy", "b", ""),
        ("x/3.wav", "happy ", "b", ""),
        ("x/4.wav", "hap", "b", ""),
    ]
    rows += [("x/5.wav", "nan", "b", ""), ("x/6.wav", "-1", "b", ""), ("x/7.wav", "", "b", "")]
    names = ("path", "emotion", "spk", "votes")
    if suffix == ".csv":
        path.write_text(
            "".join(",".join(row) + ",train,  \n" for row in [names]).replace("train,  ", "fold,text")
            + "".join(",".join(row) + ",train,  \n" for row in rows)
        )
    else:
        path.write_text(
            "".join(json.dumps({**dict(zip(names, row, strict=True)), "fold": "train", "text": "  "}) + "\n" for row in rows)
        )
    corpus = read_manifest(path)
    assert [(each.id, each.label, each.session, each.split, each.text) for each in corpus] == [
        (f"x/{n}", "happy", "a" if n == 1 else "b", "train", None) for n in (1, 2, 3, 4)
    ]
    assert corpus.utterances[0].votes == {"ang": 2, "neu": 1}
    notes = {each.kind: each.message for each in corpus.problems}
    assert "each speaker is a session of its own" in notes["no column session"]
    assert "3 rows without a label are left out" in notes["row without label"]
    assert notes["look-alike labels"].startswith("'Happy' 1, 'hap' 1, 'happy' 2: one label")
    asked = read_manifest(path, Wanted(labels=frozenset({"hap", "nan"})))
    assert [each.label for each in asked] == ["hap", "nan"]


def test_apostrophes_that_became_control_characters_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(table().replace("'", "\x92"))
    (note,) = [each for each in read_manifest(path).problems if each.kind == "damaged text"]
    assert "1 texts hold control characters" in note.message
    assert "it<U+0092>s" in note.message
