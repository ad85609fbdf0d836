"""Miniatures of corpora as other toolkits write them, each in its real layout with its quirks."""

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Written = tuple[Path, dict[str, tuple[object, ...]]]
"""The path that is given to `--corpus`, and id to label, speaker, session, text, start, end and split of every utterance."""


def sound(path: Path, seconds: float = 1.0, channels: int = 1) -> None:
    """A recording; those of different names are different."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(zlib.crc32(f"{path.parent.name}/{path.name}".encode()))
    soundfile.write(path, random.integers(-6000, 6000, (int(16_000 * seconds), channels)).astype(np.int16), 16_000)


def lines(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def speechbrain_csv(root: Path) -> Written:
    for name in ("a", "b"):
        sound(root / "wav" / f"{name}.wav", 3.0)
    rows = [
        "ID,duration,start,stop,wav,wav_format,spk_id,emo,wrd",
        "u1,1.5,0,24000,$data_root/wav/a.wav,wav,anna,ang,I SAID NO",
        "u2,1.0,32000,48000,$data_root/wav/a.wav,wav,anna,sad,",
        "u3,3.0,0.0,3.0,{data_root}/wav/b.wav,wav,ben,neu,YES",
    ]
    return lines(root / "train.csv", *rows), {
        "u1": ("ang", "anna", "anna", "I SAID NO", 0.0, 1.5, ""),
        "u2": ("sad", "anna", "anna", None, 2.0, 3.0, ""),
        "u3": ("neu", "ben", "ben", "YES", 0.0, 3.0, ""),
    }


def speechbrain_json(root: Path) -> Written:
    turns = {"Ses01F_impro01_F000": "neu", "Ses02M_script01_1_F003": "ang"}
    for turn in turns:
        sound(root / "wav" / f"{turn}.wav")
    entries = {turn: {"wav": f"{{data_root}}/wav/{turn}.wav", "length": 1.0, "emo": emo} for turn, emo in turns.items()}
    path = root / "json" / "train.json"
    path.parent.mkdir()
    path.write_text(json.dumps(entries, indent=2))
    return path, {
        "Ses01F_impro01_F000": ("neu", "1F", "1", None, 0.0, None, ""),
        "Ses02M_script01_1_F003": ("ang", "2F", "2", None, 0.0, None, ""),
    }


def audiofolder_of_parts(root: Path) -> Written:
    for name in ("train/1", "test/1"):
        sound(root / f"{name}.wav")
    lines(root / "train" / "metadata.csv", "file_name,emotion,speaker_id,transcription", "1.wav,happy,s1,hello")
    lines(root / "test" / "metadata.csv", "file_name,emotion,speaker_id,transcription", "1.wav,sad,s2,no")
    return root, {
        "train/1": ("happy", "s1", "s1", "hello", 0.0, None, "train"),
        "test/1": ("sad", "s2", "s2", "no", 0.0, None, "test"),
    }


def audiofolder_of_one_table(root: Path) -> Written:
    sound(root / "train" / "03a01Fa.wav")
    sound(root / "other" / "08a01Wa.wav")
    rows = [{"file_name": "train/03a01Fa.wav", "label": "happy"}, {"file_name": "other/08a01Wa.wav", "label": "angry"}]
    text = "Der Lappen liegt auf dem Eisschrank."  # the names are those of EmoDB
    return lines(root / "metadata.jsonl", *rows).parent, {
        "train/03a01Fa": ("happy", "03", "03", text, 0.0, None, "train"),
        "other/08a01Wa": ("angry", "08", "08", text, 0.0, None, ""),
    }


def kaldi_of_recordings(root: Path) -> Written:
    """Paths begin at the recipe's folder, two above the data."""
    data = root / "data" / "all"
    for name in ("u1", "u2"):
        sound(root / "wav" / f"{name}.wav")
    lines(data / "wav.scp", "u1 wav/u1.wav", "u2 wav/u2.wav")
    lines(data / "utt2spk", "u1 anna", "u2 ben")
    lines(data / "utt2emo", "u1 ang", "u2 neu")
    lines(data / "utt2dur", "u1 1.0", "u2 1.0")
    lines(data / "text", "u1 go away", "u2")
    return data, {
        "u1": ("ang", "anna", "anna", "go away", 0.0, None, ""),
        "u2": ("neu", "ben", "ben", None, 0.0, None, ""),
    }


def kaldi_of_segments(root: Path) -> Written:
    for part, speaker in (("train", "anna"), ("test", "ben")):
        sound(root / part / "d1.wav", 3.0)
        lines(root / part / "wav.scp", f"{part}-d1 {part}/d1.wav")
        lines(root / part / "segments", f"{part}-1 {part}-d1 0.50 1.25", f"{part}-2 {part}-d1 2 -1")
        lines(root / part / "utt2spk", *(f"{part}-{number} {speaker}" for number in (1, 2)))
        lines(root / part / "utt2label", f"{part}-1 ang", f"{part}-2 sad")
    return root, {
        "train-1": ("ang", "anna", "anna", None, 0.5, 1.25, "train"),
        "train-2": ("sad", "anna", "anna", None, 2.0, None, "train"),
        "test-1": ("ang", "ben", "ben", None, 0.5, 1.25, "test"),
        "test-2": ("sad", "ben", "ben", None, 2.0, None, "test"),
    }


def cut(**changed: object) -> dict[str, object]:
    recording = {
        "id": "d1",
        "sources": [{"type": "file", "channels": [0, 1], "source": "audio/d1.wav"}],
        "sampling_rate": 16000,
        "num_samples": 64000,
        "duration": 4.0,
        "channel_ids": [0, 1],
    }
    whole = {"id": "c", "start": 0.0, "duration": 4.0, "channel": 0, "recording": recording, "type": "MonoCut"}
    return whole | changed


def supervision(name: str, start: float, duration: float, emotion: str) -> dict[str, object]:
    where = {"id": name, "recording_id": "d1", "start": start, "duration": duration, "channel": 0}
    return where | {"text": f"says {name}", "speaker": "anna", "custom": {"emotion": emotion, "split": "train"}}


def lhotse_cuts(root: Path) -> Written:
    """A dialogue of two turns, a cut out of it, and all of another one; paths begin where lhotse was called."""
    for name in ("d1", "d2"):
        sound(root / "audio" / f"{name}.wav", 4.0, channels=2)
    other = {"id": "d2", "sources": [{"type": "file", "channels": [0, 1], "source": "audio/d2.wav"}], "duration": 4.0}
    cuts = [
        cut(id="dialogue", supervisions=[supervision("s1", 0.5, 1.0, "ang"), supervision("s2", 2.0, 1.5, "sad")]),
        cut(id="turn", start=1.0, duration=2.0, supervisions=[supervision("s3", 0.25, 2.0, "neu")], channel=1),
        cut(id="all", supervisions=[supervision("s4", 0, 4.0, "neu")], channel=[0, 1], type="MultiCut", recording=other),
    ]
    path = root / "data" / "manifests" / "cuts_train.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress("".join(json.dumps(each) + "\n" for each in cuts).encode()))
    return path, {
        "s1": ("ang", "anna", "anna", "says s1", 0.5, 1.5, "train"),
        "s2": ("sad", "anna", "anna", "says s2", 2.0, 3.5, "train"),
        "turn": ("neu", "anna", "anna", "says s3", 1.25, 3.0, "train"),
        "all": ("neu", "anna", "anna", "says s4", 0.0, None, "train"),
    }


def emobox(name: str, emotion: str, dataset: str = "emodb") -> dict[str, object]:
    entry = {"key": f"{dataset}-{name}", "dataset": dataset, "wav": f"downloads/{dataset}/wav/{name}.wav", "type": "raw"}
    return entry | {"sample_rate": 16000, "num_frame": 16000.0, "task": "category", "length": 1.0, "emo": emotion, "channel": 1}  # pyright: ignore[reportReturnType]


def emobox_list(root: Path) -> Written:
    for name in ("03a01Wa", "08a02Fb"):
        sound(root / "downloads" / "emodb" / "wav" / f"{name}.wav")
    rows = [emobox("03a01Wa", "anger"), emobox("08a02Fb", "happy")]
    return lines(root / "data" / "emodb" / "emodb.jsonl", *rows), {
        "emodb-03a01Wa": ("anger", "03", "03", "Der Lappen liegt auf dem Eisschrank.", 0.0, None, ""),
        "emodb-08a02Fb": ("happy", "08", "08", "Das will sie am Mittwoch abgeben.", 0.0, None, ""),
    }


def emobox_fold(root: Path) -> Written:
    path, expected = emobox_list(root)
    fold = path.parent / "fold_1"
    lines(fold / "emodb_train_fold_1.jsonl", emobox("03a01Wa", "anger"))
    lines(fold / "emodb_test_fold_1.jsonl", emobox("08a02Fb", "happy"))
    parts = dict(zip(expected, ("train", "test"), strict=True))
    return fold, {name: (*said[:-1], parts[name]) for name, said in expected.items()}


def emobox_folds(root: Path) -> Written:
    """Both folds: each utterance is tested in one of them, and one is left out of the second."""
    fold, expected = emobox_fold(root)
    other = fold.with_name("fold_2")
    lines(other / "emodb_train_fold_2.jsonl", emobox("08a02Fb", "happy"))
    lines(other / "emodb_test_fold_2.jsonl", emobox("03a01Wa", "anger"))
    return fold.parent, {name: (*said[:-1], "") for name, said in expected.items()}


def audformat_of_files(root: Path) -> Written:
    """As EmoDB lies in its public repository: intended emotions, agreed ones in two parts, speakers and codes of texts."""
    audformat = pytest.importorskip("audformat")
    database = audformat.Database("emodb", source="", usage="research", languages=["deu"])
    database.schemes["emotion"] = audformat.Scheme(labels=["anger", "happiness", "neutral"])
    database.schemes["speaker"] = audformat.Scheme("int", labels={3: {"gender": "male", "age": 31}, 8: {"gender": "female"}})
    database.schemes["transcription"] = audformat.Scheme(labels={"a01": "Der Lappen liegt auf dem Eisschrank.", "b01": "Was?"})
    database.schemes["duration"] = audformat.Scheme("time")
    names = ["wav/1.wav", "wav/2.wav", "wav/3.wav"]
    for name in names:
        sound(root / name)
    database.splits["train"] = audformat.Split("train")
    database.splits["test"] = audformat.Split("test")

    def add(table: str, files: list[str], split: str | None = None, **columns: list[object]) -> None:
        database[table] = audformat.Table(audformat.filewise_index(files), split_id=split)
        for column, values in columns.items():
            database[table][column] = audformat.Column(scheme_id=column)
            database[table][column].set(values)

    add("emotion", names, emotion=["anger", "anger", "happiness"], speaker=[3, 8, 8])
    add("emotion.categories.train.gold_standard", names[:2], "train", emotion=["anger", "neutral"])
    add("emotion.categories.test.gold_standard", names[2:], "test", emotion=["happiness"])
    add("files", names, transcription=["a01", "b01", None], duration=["1s", "1s", "1s"])
    database.save(str(root), storage_format="csv")
    text = "Der Lappen liegt auf dem Eisschrank."
    return root, {
        "wav/1": ("anger", "3", "3", text, 0.0, None, "train"),
        "wav/2": ("neutral", "8", "8", "Was?", 0.0, None, "train"),
        "wav/3": ("happiness", "8", "8", None, 0.0, None, "test"),
    }


def audformat_of_segments(root: Path) -> Written:
    """Segments of two dialogues; who speaks in one is said of the file, what a speaker is in a table of its own."""
    audformat = pytest.importorskip("audformat")
    import pandas as pd

    database = audformat.Database("talk", source="", usage="research", languages=["eng"])
    database["speaker"] = audformat.MiscTable(pd.Index(["anna", "ben"], dtype="string", name="speaker"))
    database["speaker"]["gender"] = audformat.Column()
    database["speaker"]["gender"].set(["female", "male"])
    database.schemes["speaker"] = audformat.Scheme("str", labels="speaker")
    database.schemes["arousal"] = audformat.Scheme("float")
    files = ["d1.wav", "d1.wav", "d2.wav", "d2.wav"]
    for name in set(files):
        sound(root / name, 3.0)
    index = audformat.segmented_index(files, ["0.5s", "1.5s", "0s", "1s"], ["1.25s", pd.NaT, "1s", "2s"])
    for part, kind, rows in (("train", "train", slice(0, 2)), ("test1", "test", slice(2, 4))):
        database.splits[part] = audformat.Split(kind)
        database[f"emotion.{part}"] = audformat.Table(index[rows], split_id=part)
        for column, values in (("emotion", ["ang", "sad"]), ("arousal", [0.25, 0.5])):
            database[f"emotion.{part}"][column] = audformat.Column(scheme_id=column if column == "arousal" else None)
            database[f"emotion.{part}"][column].set(values)
    database["files"] = audformat.Table(audformat.filewise_index(["d1.wav", "d2.wav"]))
    database["files"]["speaker"] = audformat.Column(scheme_id="speaker")
    database["files"]["speaker"].set(["anna", "ben"])
    database.save(str(root))
    return root, {
        "d1-0.5-1.25": ("ang", "anna", "anna", None, 0.5, 1.25, "train"),
        "d1-1.5": ("sad", "anna", "anna", None, 1.5, None, "train"),
        "d2-0.0-1.0": ("ang", "ben", "ben", None, 0.0, 1.0, "test1"),
        "d2-1.0-2.0": ("sad", "ben", "ben", None, 1.0, 2.0, "test1"),
    }


FORMATS: dict[str, list[Callable[[Path], Written]]] = {
    "speechbrain": [speechbrain_csv, speechbrain_json],
    "audiofolder": [audiofolder_of_parts, audiofolder_of_one_table],
    "kaldi": [kaldi_of_recordings, kaldi_of_segments],
    "lhotse": [lhotse_cuts],
    "emobox": [emobox_list, emobox_fold, emobox_folds],
    "audformat": [audformat_of_files, audformat_of_segments],
}
