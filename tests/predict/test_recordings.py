"""Recordings as they lie on people's disks."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mer.corpus import CorpusError, Wanted
from mer.predict import PredictError, find_recordings, read_recordings
from mer.tests.corpus.format_folders import lhotse_cuts, speechbrain_json
from mer.tests.corpus.release_folders import RELEASES


def sound(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(800), 8_000)
    return path


def test_a_folder_gives_every_audio_file_with_the_text_and_the_grid_beside_it(tmp_path: Path) -> None:
    for name in ("b.wav", "sub/a.flac", "c.WAV"):
        sound(tmp_path / name)
    (tmp_path / "b.txt").write_text("\ufeffleave\n me  alone\n", encoding="utf-8")
    (tmp_path / "sub" / "a.lab").write_text("noon")
    (tmp_path / "sub" / "a.TextGrid").touch()
    found, failed = read_recordings(tmp_path)
    assert [(each.id, each.text, each.alignment is not None) for each in found] == [
        ("b", "leave me alone", False),
        ("c", None, False),
        ("sub/a", "noon", True),
    ]
    assert failed == []


@pytest.mark.parametrize("write", [lhotse_cuts, speechbrain_json])
def test_a_file_that_only_a_corpus_reads_gives_its_utterances(write: Any, tmp_path: Path) -> None:
    path, expected = write(tmp_path)
    found = find_recordings(path, Wanted(audio_root=tmp_path))
    assert {each.id: each.text for each in found.utterances} == {name: row[3] for name, row in expected.items()}
    assert found.failed == []


def test_two_files_of_one_name_and_a_text_that_is_no_utf8_are_listed_and_the_others_go_on(tmp_path: Path) -> None:
    for name in ("a.flac", "a.wav", "b.wav", "c.wav"):
        sound(tmp_path / name)
    (tmp_path / "b.txt").write_bytes("déjà".encode("latin-1"))
    found, failed = read_recordings(tmp_path)
    assert [each.id for each in found] == ["a", "c"]
    assert "a.flac has the same name" in failed[0].reason
    assert "b.txt: not UTF-8" in failed[1].reason
    found, failed = read_recordings(tmp_path, Wanted(encoding="latin-1"))
    assert [(each.id, each.text) for each in found] == [("a", None), ("b", "déjà"), ("c", None)]
    assert len(failed) == 1


def test_every_file_that_is_not_answered_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    for name in ("a.WAV", "sub/d.wav"):
        sound(folder / name)
    for name in ("a.TXT", "a.textgrid", "b.m4a", "b.txt", "c.txt", "e.json", "._a.wav", ".DS_Store", "sub/f.TextGrid"):
        (folder / name).write_text("noon")
    os.close(os.open(os.fsencode(folder) + b"/caf\xe9.wav", os.O_CREAT))
    (folder / "gone.wav").symlink_to("nowhere.wav")
    (folder / "linked").symlink_to(folder / "sub")
    found, failed = read_recordings(folder)
    assert [(each.id, each.text, each.alignment is not None) for each in found] == [
        ("a", "noon", True),
        ("b", "noon", False),
        ("sub/d", None, False),
    ]
    assert {each.id: each.reason.partition(": ")[2].split(";")[0].split(" (")[0] for each in failed} == {
        "linked": "a link to a folder, which is not followed",
        "._a.wav": "left behind by macOS, which keeps no sound in such files",
        r"caf\xe9.wav": "its name is no UTF-8",
        "gone.wav": "a link to nothing, or no ordinary file",
        "c.txt": "no audio of the same name beside it",
        "e.json": "no ending of audio that is read",
        "sub/f.TextGrid": "no audio of the same name beside it",
    }
    json.dumps([dataclasses.asdict(each) for each in failed], ensure_ascii=False).encode()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_list_needs_wav_and_text_and_no_labels(suffix: str, tmp_path: Path) -> None:
    rows = [{"wav": "clips/a.wav", "text": "hello, you"}, {"wav": "b.wav", "text": "noon", "id": "second", "label": "sad"}]
    path = tmp_path / f"new{suffix}"
    if suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        path.write_text('wav,text,id,label\nclips/a.wav,"hello, you",,\nb.wav,noon,second,sad\n')
    found, failed = read_recordings(path)
    assert [(each.id, each.wav, each.text) for each in found] == [
        ("clips/a", tmp_path / "clips/a.wav", "hello, you"),
        ("second", tmp_path / "b.wav", "noon"),
    ]
    assert failed == []


def test_rows_that_leave_the_folder_or_repeat_an_id_are_listed_with_their_line(tmp_path: Path) -> None:
    rows = [{"wav": "../a.wav"}, {"wav": "b.wav", "text": "noon"}, {"wav": "b.wav"}, {"text": "no audio"}, {"wav": 7}]
    path = tmp_path / "new.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    found, failed = read_recordings(path)
    assert [each.id for each in found] == ["b"]
    assert [each.reason.split(": ", 1)[0].rpartition(":")[2] for each in failed] == ["1", "3", "4", "5"]
    assert "stay in it" in failed[0].reason
    assert "used already in line 2" in failed[1].reason
    assert "no wav" in failed[2].reason


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nothing", None, "nothing there"),
        ("a.wav", "", "give the audio with --wav"),
        ("a.csv", "sound,text\nx.wav,hi\n", "no column `wav`"),
        ("a.jsonl", "[1]\n", r"a.jsonl:1: expected one JSON object"),
        ("b.jsonl", "{\n", r"b.jsonl:1: not JSON"),
        ("c.jsonl", "", "no recordings in it"),
    ],
)
def test_what_is_no_list_of_recordings_is_refused(name: str, content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(PredictError, match=message):
        read_recordings(tmp_path / name)


def test_a_folder_without_audio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PredictError, match="no audio in it or below it"):
        read_recordings(tmp_path)


def test_a_list_may_name_parts_of_recordings(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    path = tmp_path / "list.csv"
    path.write_text("wav,text,start,end\na.wav,noon,0.02,0.05\na.wav,night,0.05,\n")
    found, failed = read_recordings(path)
    assert not failed
    assert [(each.id, each.start, each.end) for each in found] == [("a-0.02-0.05", 0.02, 0.05), ("a-0.05", 0.05, None)]
    path.write_text("wav,text\na.wav,noon\n")
    assert len(read_recordings(path)[0]) == 1


def test_a_list_may_be_in_another_encoding_and_its_recordings_on_another_disk(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("wav;text\n/home/anna/disk/a.wav;déjà\n".encode("cp1252"))
    (found, *others), failed = read_recordings(path, Wanted(audio_root=tmp_path / "disk", encoding="cp1252"))
    assert (found.wav, found.text, others, failed) == (tmp_path / "disk" / "a.wav", "déjà", [], [])
    with pytest.raises(CorpusError, match="--encoding cp1252"):
        read_recordings(path)


def test_what_is_not_read_of_a_corpus_is_named(tmp_path: Path) -> None:
    RELEASES["ravdess"](tmp_path / "copy")
    found, failed, problems = find_recordings(tmp_path / "copy")
    assert (len(found), failed) == (32, [])
    assert {each.kind for each in problems} == {
        "recording of another name",
        "recording that is there twice",
        "recordings of one name that differ",
    }
