"""Corpora as other toolkits write them: a miniature of each in its real layout, read as the kind that it is."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mer.corpus import Corpus, CorpusError, corpora_at, open_corpus
from mer.tests.corpus.format_folders import (
    FORMATS,
    Written,
    audformat_of_files,
    audformat_of_segments,
    cut,
    emobox,
    emobox_folds,
    lines,
    sound,
    supervision,
)


def said(corpus: Corpus) -> dict[str, tuple[object, ...]]:
    return {
        each.id: (each.label, each.speaker, each.session, each.text, each.start, each.end, each.split or "") for each in corpus
    }


@pytest.mark.parametrize(("kind", "write"), [(kind, write) for kind, writers in FORMATS.items() for write in writers])
def test_a_format_is_recognised_and_read(tmp_path: Path, kind: str, write: Callable[[Path], Written]) -> None:
    path, expected = write(tmp_path / "corpus")
    assert [place.name for place in corpora_at(path)] == [kind]
    corpus = open_corpus(path)
    assert corpus.kind == kind
    assert said(corpus) == expected
    assert all(each.wav.is_file() for each in corpus)
    if kind == "lhotse":
        assert {each.id: each.channel for each in corpus} == {"s1": 1, "s2": 1, "turn": 2, "all": None}


def test_the_folds_of_emobox_are_columns_and_contradictions_are_refused(tmp_path: Path) -> None:
    path, _ = emobox_folds(tmp_path / "corpus")
    columns = {
        each.id: {key: value for key, value in (each.columns or {}).items() if "fold" in key} for each in open_corpus(path)
    }
    assert columns == {
        "emodb-03a01Wa": {"fold_1": "train", "fold_2": "test"},
        "emodb-08a02Fb": {"fold_1": "test", "fold_2": "train"},
    }
    train = path / "fold_2" / "emodb_train_fold_2.jsonl"
    lines(train, emobox("08a02Fb", "sad"))
    with pytest.raises(CorpusError, match="line 1: 'emodb-08a02Fb' has label 'sad', and 'happy' in another list"):
        open_corpus(path)
    lines(train, emobox("03a01Wa", "anger"))
    with pytest.raises(CorpusError, match="'emodb-03a01Wa' is in two parts of fold 2"):
        open_corpus(path)


def test_what_schemes_and_tables_of_audformat_say_is_kept(tmp_path: Path) -> None:
    path, _ = audformat_of_files(tmp_path / "files")
    first, second, _ = open_corpus(path)
    assert {key: (first.columns or {}).get(key) for key in ("gender", "age")} == {"gender": "male", "age": "31"}
    assert first.seconds == 1.0
    assert (second.columns or {}).get("gender") == "female"
    assert any(each.message == "emotions are those of gold_standard, not of emotion" for each in open_corpus(path).problems)
    before = sorted(file.name for file in path.iterdir())
    (path / "db.files.pkl").write_bytes(b"c__builtin__\nprint\n(S'run'\ntR.")  # newer than the table, and not opened
    assert [each.speaker for each in open_corpus(path)] == ["3", "8", "8"]
    assert sorted(file.name for file in path.iterdir()) == sorted([*before, "db.files.pkl"])
    segments = open_corpus(audformat_of_segments(tmp_path / "segments")[0])
    assert [each.attributes for each in segments] == [None] * 4
    assert [(each.columns or {})["activation"] for each in segments] == ["0.25", "0.5"] * 2
    assert {(each.speaker, (each.columns or {})["gender"]) for each in segments} == {("anna", "female"), ("ben", "male")}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("emotion: {", "mood: {"), "no table has a column of emotions .*there are emotion"),
        (lambda text: text.replace("tables:", "tables:\n  gone: {type: filewise}"), "No file found for table .*copy/db.gone"),
        (lambda text: text + "\n\t{", "not a database that audformat can read"),
    ],
)
def test_a_damaged_database_is_refused_in_words(tmp_path: Path, change: Callable[[str], str], told: str) -> None:
    path, _ = audformat_of_files(tmp_path / "copy")
    header = path / "db.yaml"
    header.write_text(change(header.read_text()))
    with pytest.raises(CorpusError, match=told):
        open_corpus(path)


def test_tables_of_audformat_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    path, _ = audformat_of_files(tmp_path / "copy")
    for file in [path / "db.yaml", *path.glob("db.*gold*")]:
        file.write_text(file.read_text().replace("gold_standard", "desired"))
        file.rename(file.with_name(file.name.replace("gold_standard", "desired")))
    with pytest.raises(CorpusError, match=r"wav/2.wav has label 'anger' in table emotion, and 'neutral' in emotion\.categories"):
        open_corpus(path)


def test_without_the_package_audformat_the_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines(tmp_path / "copy" / "db.yaml", "name: x", "tables:", "  a: {type: filewise}")
    monkeypatch.setitem(sys.modules, "audformat", None)
    with pytest.raises(CorpusError, match=r"copy: a database in audformat, .*mer-fusion\[audformat\]"):
        open_corpus(tmp_path / "copy")


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "speechbrain times that are neither": (
        lambda root: lines(root / "t.csv", "ID,duration,start,stop,wav,spk_id,emo", "u1,1.5,0,1500,$data_root/a.wav,anna,ang"),
        r"beside a duration of 1.5 s are neither seconds nor samples",
    ),
    "speechbrain without speakers": (
        lambda root: lines(root / "t.json", {"u1": {"wav": "{data_root}/a.wav", "emo": "ang"}}),
        r"neither who speaks nor .* a column spk_id",
    ),
    "kaldi pipe": (
        lambda root: lines(root / "wav.scp", "u1 sox a.flac -t wav - |").parent,
        r"recording 'u1' is a command \('sox a.flac -t wav - \|'\)",
    ),
    "kaldi segment of nothing": (
        lambda root: lines(lines(root / "wav.scp", "d1 a.wav").parent / "segments", "u1 d2 0 1").parent,
        r"segments: line 1: expected an utterance",
    ),
    "lhotse mixed cut": (
        lambda root: lines(root / "cuts.jsonl", {"id": "m", "tracks": [], "type": "MixedCut"}),
        r"line 1: cut 'm' is a MixedCut; expected MonoCut",
    ),
    "lhotse command": (
        lambda root: lines(
            root / "cuts.jsonl",
            cut(
                supervisions=[supervision("s", 0, 1, "ang")],
                recording={"id": "d", "sources": [{"type": "command", "channels": [0], "source": "x"}], "duration": 4.0},
            ),
        ),
        r"cut 'c': source of type 'command'",
    ),
    "emobox of a corpus whose names say no speaker": (
        lambda root: lines(root / "data" / "own" / "own.jsonl", emobox("1", "anger", "own")),
        r"neither who speaks nor .* \"spk\" \(and \"text\"",
    ),
    "absolute paths elsewhere": (
        lambda root: lines(root / "t.json", {"u1": {"wav": "/data/x/a.wav", "emo": "ang", "spk_id": "s"}}),
        r"--audio-root /data/x ",
    ),
}


@pytest.mark.parametrize(("write", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_in_words(tmp_path: Path, write: Callable[[Path], Path], told: str) -> None:
    with pytest.raises(CorpusError, match=told):
        open_corpus(write(tmp_path / "corpus"))


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("m.csv", ["ID,wav,duration,label,speaker", "u1,a.wav,1.0,ang,s"]),
        ("m.jsonl", [{"key": "u1", "wav": "a.wav", "emo": "ang", "spk": "s", "dataset": "own"}]),
    ],
)
def test_an_ordinary_table_stays_one(tmp_path: Path, name: str, rows: list[object]) -> None:
    sound(tmp_path / "a.wav")
    assert open_corpus(lines(tmp_path / name, *rows)).kind == "manifest"
