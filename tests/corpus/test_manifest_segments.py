"""Manifests of parts of recordings are refused, and what only looks like one is not."""

import csv
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer.corpus import manifest
from mer.corpus.manifest import read_manifest
from mer.corpus.manifest_times import role_of
from mer.corpus.utterance import CorpusError

Row = dict[str, object]
ROW: Row = {"id": "u1", "wav": "a.wav", "text": "Hi.", "label": "joy", "speaker": "s1", "session": "A"}
SECONDS = 1.2
Write = Callable[..., Path]


@pytest.fixture(params=["small", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A manifest that is held in memory, and one whose rows are read one by one."""
    if request.param == "large":
        monkeypatch.setattr(manifest, "LARGE", 0)
    return str(request.param)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write({"start": 0.5}, {})` gives a manifest of two rows with these columns, each with a recording of its own."""

    def write(*rows: Mapping[str, object], name: str = "m.jsonl") -> Path:
        whole = [ROW | {"id": f"u{n}", "wav": f"a{n}.wav"} | dict(row) for n, row in enumerate(rows)]
        for n in range(len(rows)):
            soundfile.write(tmp_path / f"a{n}.wav", np.zeros(round(SECONDS * 16_000)), 16_000)
        path = tmp_path / name
        if name.endswith(".csv"):
            columns = list(dict.fromkeys(column for row in whole for column in row))
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(whole)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in whole), encoding="utf-8")
        return path

    return write


PAIRS = [
    ("start", "end"),
    ("start", "stop"),
    ("START", "END"),
    ("Start Time", "End Time"),
    ("StartTime", "EndTime"),
    ("start_time", "end_time"),
    ("starttime", "endtime"),
    ("begin", "end"),
    ("begin_time", "end_time"),
    ("onset", "offset"),
    ("offset", "duration"),
    ("onset", "duration"),
    ("start", "dur"),
    ("from", "to"),
    ("t0", "t1"),
    ("tmin", "tmax"),
    ("xmin", "xmax"),
    ("t_start", "t_end"),
    ("start_ms", "end_ms"),
    ("start_sec", "end_sec"),
    ("start (s)", "end (s)"),
    ("start[sec]", "stop[sec]"),
    ("begin_sample", "end_sample"),
    ("start_frame", "num_frames"),
    ("segment_start", "segment_end"),
    ("utt-begin", "utt-end"),
    ("clip.start", "clip.end"),
]


@pytest.mark.parametrize(("start", "end"), PAIRS)
def test_times_of_a_part_are_refused_and_named(write: Write, size: str, start: str, end: str) -> None:
    name = "m.csv" if size == "large" else "m.jsonl"
    path = write({start: 0.0, end: SECONDS}, {start: 0.1, end: 0.2}, {start: "0.2", end: "0.5"}, name=name)
    with pytest.raises(CorpusError) as raised:
        read_manifest(path)
    message = str(raised.value)
    assert f"{start!r}" in message
    assert "every row would get the features of its whole file" in " ".join(message.split())
    assert "Cut each recording into one file per utterance" in message
    assert f"line {4 if name == 'm.csv' else 3} (u2): {start} 0.2" in message
    assert "(u0)" not in message


@pytest.mark.parametrize(
    "row",
    [
        {"start": 0.0, "end": 0.6},
        {"start": "", "end": 0.6},
        {"end": 0.6},
        {"offset": 0, "duration": 0.6},
        {"onset": 0, "offset": 0.6},
        {"start": "00:00:00.5", "end": "00:00:01"},
        {"start": "0 days 00:00:00.100000", "end": "NaT"},
        {"begin": "0.5 s"},
        {"start_ms": 0, "end_ms": 600},
        {"start_sample": 0, "end_sample": 9_600},
        {"segment": [0.1, 0.5]},
        {"segment": "0.1-0.5"},
        {"timestamps": "0.1, 0.5"},
        {"start_end": [0.1, 0.5]},
        {"segment": {"start": 0.1, "end": 0.5}},
        {"cut": {"start": 0.3, "duration": 0.5, "recording": {"sampling_rate": 16_000}}},
        {"supervisions": [{"id": "x", "start": 0.3, "duration": 0.5}]},
    ],
)
@pytest.mark.usefixtures("size")
def test_one_row_that_means_a_part_is_enough(write: Write, row: Row) -> None:
    with pytest.raises(CorpusError, match=r"say where in its recording an utterance is(.|\n)*\(u1\)"):
        read_manifest(write({}, row))


@pytest.mark.parametrize(
    "row",
    [
        {"duration": SECONDS},
        {"duration": 0.7},
        {"length": 19_200},
        {"seconds": SECONDS},
        {"start": 0, "end": SECONDS},
        {"start": "0.0", "end": "1.2"},
        {"start": 0, "end": None},
        {"start": 0.0, "end": -1},
        {"start": None, "end": None},
        {"start": "", "end": "nan"},
        {"start": float("nan"), "end": float("nan")},
        {"start": "NaN", "stop": "None"},
        {"start_ms": 0, "end_ms": 1200},
        {"start_sample": 0, "end_sample": 19_200},
        {"offset": 0, "duration": 1.2},
        {"onset": 0, "offset": 1.2},
        {"start": 0, "end": 1.19},
        {"segment": [0, 1.2]},
        {"segment": "3"},
        {"segment_id": 7},
        {"from": "anna", "to": "ben"},
        {"start": "yes", "end": "no"},
        {"start_date": 2020},
        {"ending_emotion": 3},
        {"turn": 4, "turn_id": 12, "weekend": 1},
        {"arousal": 0.5, "time": 12, "end_of_turn": 0.5},
    ],
)
def test_what_means_the_whole_file_or_no_time_at_all_is_read(write: Write, size: str, row: Row) -> None:
    assert len(read_manifest(write(row, row, name="m.csv" if size == "small" else "m.jsonl"))) == 2


def test_emobox_rows_with_times_are_refused(write: Write) -> None:
    row = {"key": "k", "wav": "a0.wav", "emo": "joy", "spk": "s", "session": 1, "length": 0.5, "start": 0.3}
    path = write({})
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(CorpusError, match=r"'start' say where.*(.|\n)*line 1 \(k\): start 0.3"):
        read_manifest(path)


def test_no_file_is_opened_where_no_time_needs_it(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write({"duration": 1.2}, {"start": 0}, {"text": "end"})

    def opened(*given: object) -> None:
        raise AssertionError(f"opened {given}")

    monkeypatch.setattr(soundfile, "info", opened)
    assert len(read_manifest(path)) == 3


@pytest.mark.parametrize("name", ["end_of_turn", "to_speaker", "from_dataset", "startle", "text", "length", "dialogue"])
def test_other_columns_are_no_times(name: str) -> None:
    assert role_of(name) is None


@pytest.mark.parametrize("again", ["a0.wav", "./a0.wav", "x/../a0.wav", "link.wav", "folder/a0.wav", "hard.wav", "loop/./a0.wav"])
@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_several_rows_of_one_recording_are_refused(write: Write, tmp_path: Path, size: str, again: str, name: str) -> None:
    path = write({}, {"wav": again, "label": "rage"}, {}, name=name)
    (tmp_path / "link.wav").symlink_to("a0.wav")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a0.wav").symlink_to("../a0.wav")
    os.link(tmp_path / "a0.wav", tmp_path / "hard.wav")
    if ".." in again:
        with pytest.raises(CorpusError, match="must be relative to the manifest's folder and stay in it"):
            read_manifest(path)
        return
    if again == "hard.wav" and size == "large":  # only a look at every file would tell
        assert len(read_manifest(path)) == 3
        return
    with pytest.raises(CorpusError) as raised:
        read_manifest(path)
    first = 2 if name == "m.csv" else 1
    assert "1 row names a recording that an earlier row names" in str(raised.value)
    assert f"line {first + 1} (u1): {again!r} is the recording of line {first} (u0)" in str(raised.value)


@pytest.mark.usefixtures("size")
def test_a_row_that_is_there_twice_is_said_to_be(write: Write) -> None:
    with pytest.raises(
        CorpusError, match=r"line 3 \(u2\): 'a0.wav' is the recording of line 1 \(u0\), with the same text and label"
    ):
        read_manifest(write({}, {}, {"wav": "a0.wav"}))


@pytest.mark.usefixtures("size")
def test_recordings_that_differ_in_case_only_are_two(write: Write, tmp_path: Path) -> None:
    path = write({}, {"wav": "A0.wav"})
    if not (tmp_path / "A0.wav").exists():  # a file system that tells them apart
        soundfile.write(tmp_path / "A0.wav", np.zeros(16_000), 16_000)
        assert len(read_manifest(path)) == 2
    else:
        with pytest.raises(CorpusError, match="is the recording of line 1"):
            read_manifest(path)


@pytest.mark.usefixtures("size")
def test_many_rows_of_one_recording_are_counted(write: Write) -> None:
    path = write({})
    path.write_text("".join(json.dumps(ROW | {"id": f"u{n}"}) + "\n" for n in range(30)))
    with pytest.raises(CorpusError, match=r"29 rows name a recording(.|\n)*and 24 more"):
        read_manifest(path)


def test_a_first_and_a_last_row_of_a_large_manifest_are_compared(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "LARGE", 2)
    path = write({})
    rows = [ROW | {"id": f"u{n}", "wav": f"b{n}.wav"} for n in range(50)] + [ROW | {"id": "last", "wav": "./b0.wav"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CorpusError, match=r"line 51 \(last\): './b0.wav' is the recording of line 1 \(u0\)"):
        read_manifest(path)
