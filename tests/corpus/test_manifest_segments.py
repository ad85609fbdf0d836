"""Times in a manifest are read in any spelling, and what cannot be told is refused."""

import csv
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.corpus import manifest
from mer.corpus.alignment import Alignment, Segment
from mer.corpus.audio import AudioError, read_header, read_wave, seconds_of
from mer.corpus.manifest import read_manifest
from mer.corpus.part import Part
from mer.corpus.textgrid_file import write_textgrid
from mer.corpus.time_names import role_of
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
    ("segment_start", "segment_end"),
    ("utt-begin", "utt-end"),
    ("clip.start", "clip.end"),
]


FACTORS = {"ms": 1000, "sample": 16_000}
LENGTHS = ("duration", "dur")


@pytest.mark.parametrize(("start", "end"), PAIRS)
def test_times_of_a_part_are_read(write: Write, size: str, start: str, end: str) -> None:
    factor = next((each for unit, each in FACTORS.items() if unit in end), 1)
    wanted = [(0.0, 0.5), (0.1, 0.3), (0.25, 1.0)]
    rows = [{start: a * factor, end: str((b - a if end in LENGTHS else b) * factor)} for a, b in wanted]
    corpus = read_manifest(write(*rows, name="m.csv" if size == "large" else "m.jsonl"))
    assert [each.start for each in corpus] == pytest.approx([a for a, _ in wanted])
    assert [each.end for each in corpus] == pytest.approx([b for _, b in wanted])
    assert [len(read_wave(each.wav, 16_000, each.part).samples) for each in corpus] == [8000, 3200, 12_000]
    assert [each.seconds for each in corpus] == pytest.approx([b - a for a, b in wanted])
    (note,) = [each for each in corpus.problems if each.kind == "parts of recordings"]
    assert f"3 rows are parts of their recordings: {start!r}, {end!r} are read" in note.message


@pytest.mark.parametrize(
    ("row", "start", "end"),
    [
        ({"start": 0.0, "end": 0.6}, 0, 0.6),
        ({"start": "", "end": 0.6}, 0, 0.6),
        ({"end": 0.6}, 0, 0.6),
        ({"offset": 0, "duration": 0.6}, 0, 0.6),
        ({"onset": 0, "offset": 0.6}, 0, 0.6),
        ({"start": "00:00:00.5", "end": "00:00:01"}, 0.5, 1),
        ({"start": "0 days 00:00:00.100000", "end": "NaT"}, 0.1, None),
        ({"begin": "0.5 s"}, 0.5, None),
        ({"begin": "500 ms"}, 0.5, None),
        ({"start": "0,25", "end": "0,5"}, 0.25, 0.5),
        ({"start_ms": 0, "end_ms": 600}, 0, 0.6),
        ({"start_ms": 100, "duration": 500}, 0.1, 0.6),
        ({"start": 0.1, "end": 0.5, "duration": 1.2}, 0.1, 0.5),
        ({"start": 0.1, "start_ms": 100, "end_ms": 500}, 0.1, 0.5),
        ({"start": 400, "end": 1000}, 0.4, 1),
        ({"start_sample": 0, "end_sample": 9_600}, 0, 0.6),
        ({"segment": [0.1, 0.5]}, 0.1, 0.5),
        ({"segment": "0.1-0.5"}, 0.1, 0.5),
        ({"timestamps": "0.1, 0.5"}, 0.1, 0.5),
        ({"start_end": [0.1, 0.5]}, 0.1, 0.5),
        ({"segment": {"start": 0.1, "end": 0.5}}, 0.1, 0.5),
        ({"cut": {"start": 0.3, "duration": 0.5, "recording": {"sampling_rate": 16_000}}}, 0.3, 0.8),
        ({"duration": SECONDS}, 0, None),
        ({"length": 19_200}, 0, None),
        ({"start": 0, "end": None}, 0, None),
        ({"start": 0.0, "end": -1}, 0, None),
        ({"start": "", "end": "nan"}, 0, None),
        ({"start": float("nan"), "end": float("nan")}, 0, None),
        ({"segment": "3"}, 0, None),
        ({"segment_id": 7}, 0, None),
        ({"from": "anna", "to": "ben"}, 0, None),
        ({"start": "yes", "end": "no"}, 0, None),
        ({"start_date": 2020, "ending_emotion": 3, "turn": 4, "weekend": 1}, 0, None),
        ({"arousal": 0.5, "time": 12, "end_of_turn": 0.5}, 0, None),
    ],
)
@pytest.mark.usefixtures("size")
def test_what_a_row_says_of_its_times_is_what_is_read(write: Write, row: Row, start: float, end: float | None) -> None:
    first, second = read_manifest(write({}, row))
    assert (first.start, first.end) == (0.0, None)
    assert second.start == pytest.approx(start)
    assert second.end == (end if end is None else pytest.approx(end))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"start_frame": 10, "num_frames": 50}, "'start_frame' counts frames or places"),
        ({"supervisions": [{"id": "x", "start": 0.3, "duration": 0.5}]}, "supervisions.start holds times inside a list"),
        ({"start": 0.5, "end": 0.5}, "from 0.5 to 0.5"),
        ({"start": 0.5, "end": 0.2}, "from 0.5 to 0.2"),
        ({"start": -3, "end": 0.2}, "from -3 to 0.2"),
        ({"start": 0.5, "begin": 0.6}, "start 0.5, begin 0.6 contradict each other"),
        ({"start_ms": 10, "end_sample": 8000}, "times in units that cannot be told apart"),
        ({"start": 100, "end": 200}, "do not say their unit.*could be seconds, milliseconds or samples; name the columns"),
        ({"start": 16_000, "end": 48_000}, "do not say their unit"),
        ({"start": 3}, "do not say their unit"),
        ({"start": 0.1, "end": 0.2, "channel": 0}, "channel must be 1, 2"),
    ],
)
@pytest.mark.usefixtures("size")
def test_times_that_cannot_be_or_cannot_be_understood_are_refused(write: Write, row: Row, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_manifest(write({}, row))


def test_a_column_that_only_looks_like_times_is_named(write: Write) -> None:
    problems = read_manifest(write({"start": "yes", "mood": "x"})).problems
    assert "column 'start' holds no times" in problems[0].message
    assert "kept with the utterances, and not used in training: 'mood', 'start'" in problems[1].message


def test_a_part_beyond_the_end_fails_with_the_numbers(write: Write) -> None:
    near, far, late = read_manifest(write({"end": 1.205}, {"start": 0.5, "end": 1.3}, {"start": 1.3, "end": 1.5}))
    assert seconds_of(near) == 1.2
    for each, said in ((far, "from 0.500 s to 1.300 s"), (late, "from 1.300 s to 1.500 s")):
        with pytest.raises(AudioError, match=rf"{said}, the recording has 1\.200 s"):
            seconds_of(each)
        with pytest.raises(AudioError, match=said):
            read_wave(each.wav, 16_000, each.part)


def test_times_of_an_episode_are_refused_once_and_with_the_cure(write: Write) -> None:
    episode = [{"StartTime": f"00:16:{10 + 5 * n},059", "EndTime": f"00:16:{14 + 5 * n},731"} for n in range(3)]
    with pytest.raises(CorpusError) as raised:
        read_manifest(write(*episode))
    for told in ("'StartTime', 'EndTime' are not times", "'u0', from 970.059 s to 974.731 s of a file of 1.200 s", "leave these"):
        assert told in str(raised.value)
    # One that can be read, and files that are not there yet, leave it to each utterance.
    assert len(read_manifest(write(*episode, {"StartTime": "0", "EndTime": "00:00:01,000"}))) == 4
    path = write(*episode)
    for wav in path.parent.glob("*.wav"):
        wav.unlink()
    assert len(read_manifest(path)) == 3


def test_overlapping_parts_with_other_labels_are_a_note(write: Write) -> None:
    rows = [{"wav": "a0.wav", "start": a, "end": b, "label": c} for a, b, c in ((0.0, 0.5, "x"), (0.4, 0.8, "y"), (0.8, 1, "x"))]
    (note,) = [each for each in read_manifest(write(*rows)).problems if each.kind == "overlapping parts"]
    assert "1 parts overlap one of another label, the first: u0 (x) and u1 (y)" in note.message


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_samples_of_random_parts_are_those_of_the_recording(data: st.DataObject) -> None:
    """Seconds are conserved to a sample, in containers that can jump and in those that cannot, of one channel or the mean."""
    rate = data.draw(st.sampled_from([8000, 16_000, 22_050]))
    name = data.draw(st.sampled_from(["a.wav", "a.flac", "a.ogg", "a.mp3"]))
    with TemporaryDirectory() as folder:
        wav = Path(folder, name)
        noise = np.random.default_rng(rate).uniform(-0.5, 0.5, (rate, 2))
        soundfile.write(wav, noise, rate)
        total = read_header(wav).seconds
        marks = data.draw(st.lists(st.integers(1, int(total * 1000) - 1), min_size=1, max_size=6, unique=True).map(sorted))
        channel = data.draw(st.sampled_from([None, 1, 2]))
        edges = [0.0, *(mark / 1000 for mark in marks)]
        whole = read_wave(wav, rate, Part(channel=channel)).samples
        parts = [
            read_wave(wav, rate, Part(start, end, channel)).samples for start, end in zip(edges, [*edges[1:], None], strict=True)
        ]
        for start, end, part in zip(edges, [*edges[1:], total], parts, strict=True):
            # Both ends are rounded to a sample; the product of floats may be off by its last bits.
            assert abs(len(part) - (end - start) * rate) <= 1 + 1e-6 or name.endswith(("3", "ogg"))
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("name", ["a0.TextGrid", "long.TextGrid", "u0.TextGrid"])
def test_a_textgrid_of_the_recording_is_cut_to_the_part(write: Write, tmp_path: Path, name: str) -> None:
    """One that has the recording's name, or is longer than the part, is of the recording; `u0` is the part's own."""
    units = tuple(Segment(label, start, start + 100) for label, start in (("a", 0), ("b", 280), ("c", 400), ("d", 560)))
    own = tuple(Segment(label, start, start + 100) for label, start in (("b", 0), ("c", 100)))
    grid = tmp_path / name
    found = own if name == "u0.TextGrid" else units
    write_textgrid(grid, Alignment(phones=(), syllables=(), words=found), found[-1].end_ms / 1000)
    (utterance,) = read_manifest(write({"start": 0.3, "end": 0.6, "textgrid": name}))
    assert utterance.alignment is not None
    words = utterance.alignment.read().words
    cut = (Segment("b", 0, 80), Segment("c", 100, 200))
    assert words == (own if name == "u0.TextGrid" else cut)


@pytest.mark.parametrize("name", ["end_of_turn", "to_speaker", "from_dataset", "startle", "text", "length", "dialogue"])
def test_other_columns_are_no_times(name: str) -> None:
    assert role_of(name) is None


@pytest.mark.parametrize("again", ["a0.wav", "./a0.wav", "link.wav", "folder/a0.wav", "hard.wav", "loop/./a0.wav"])
@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_several_rows_of_one_recording_are_refused(write: Write, tmp_path: Path, size: str, again: str, name: str) -> None:
    path = write({}, {"wav": again, "label": "rage"}, {}, name=name)
    (tmp_path / "link.wav").symlink_to("a0.wav")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a0.wav").symlink_to("../a0.wav")
    os.link(tmp_path / "a0.wav", tmp_path / "hard.wav")
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


@pytest.mark.usefixtures("size")
def test_the_channels_of_a_call_are_recordings_of_their_own(write: Write) -> None:
    call: Row = {"wav": "a0.wav", "id": ""}
    corpus = read_manifest(write(call | {"channel": "A"}, call | {"channel": "B"}))
    assert [(each.id, each.channel) for each in corpus] == [("a0-A", 1), ("a0-B", 2)]
    for channels in ((2, 2), (None, 1)):
        rows = [call | {"channel": channel, "id": f"u{n}"} for n, channel in enumerate(channels)]
        with pytest.raises(CorpusError, match="1 row names a recording that an earlier row names"):
            read_manifest(write(*rows))
