"""What `mer doctor` says of any kind of corpus: classes, sessions, speakers, repeated recordings, spellings that look alike."""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mer.corpus import corpus_at
from mer.corpus.label_spellings import look_alikes
from mer.corpus.part import Part
from mer.corpus.repeated_recordings import repeated_recordings
from mer.corpus.utterance import Utterance
from mer.status.doctor.check import Check
from mer.status.doctor.corpus_state import survey
from mer.tests.corpus.conftest import write_dialogue
from mer.tests.corpus.format_folders import FORMATS, Written, lines, sound
from mer.tests.corpus.release_folders import RELEASES


def told(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.found for check in checks}


@pytest.mark.parametrize(("kind", "write"), [(kind, write) for kind, writers in FORMATS.items() for write in writers])
def test_of_every_format_classes_sessions_and_speakers_are_counted(
    tmp_path: Path, kind: str, write: Callable[[Path], Written]
) -> None:
    path, expected = write(tmp_path / "corpus")
    found = survey(path, given=True)
    for place, what in enumerate(("labels", "speakers", "sessions")):
        counts = Counter(str(each[place]) for each in expected.values())
        assert found.names[what] == counts
        assert told(found.checks)[what].startswith(f"{len(counts)}: ")
    assert len(found.tested) == len(expected)
    assert "repeated recordings" not in told(found.checks)
    assert corpus_at(path).name == kind


@pytest.mark.parametrize("name", [*RELEASES, "iemocap"])
def test_of_a_release_too_and_it_is_read_once(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "copy"
    if name == "iemocap":
        for session in (1, 2):
            turns = [("F000", "neu", "Well."), ("M000", "ang", "No!"), ("M001", "xxx", "Hm.")]
            write_dialogue(root, f"Ses0{session}F_impro01", turns)
    else:
        RELEASES[name](root)
    opened = Counter[str]()
    plain = Path.read_bytes

    def counting(path: Path) -> bytes:
        opened[str(path)] += 1
        return plain(path)

    monkeypatch.setattr(Path, "read_bytes", counting)
    found = survey(root, given=True)
    assert {file: count for file, count in opened.items() if count > 1} == {}
    assert found.census is not None
    total = sum(each.utterances for each in found.census.sessions)
    assert {what: sum(counts.values()) for what, counts in found.names.items()} == dict.fromkeys(
        ("labels", "sessions", "speakers"), total
    )
    assert {"labels", "sessions", "speakers"} <= told(found.checks).keys()
    assert 0 < len(found.tested) <= total


def test_one_recording_under_several_ids_is_found_whatever_the_kind(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        sound(tmp_path / "all" / f"{name}.wav")
    shutil.copy(tmp_path / "all" / "1.wav", tmp_path / "all" / "again.wav")
    rows = ["1.wav,happy,anna,1", "2.wav,sad,ben,1", "3.wav,sad,ben,1", "again.wav,sad,carla,2"]
    found = survey(lines(tmp_path / "all" / "metadata.csv", "file_name,label,speaker,session", *rows).parent, given=True)
    assert found.repeated == [["1", "again"]]
    said = told(found.checks)["repeated recordings"]
    assert said.startswith(
        "1 recordings have several ids, 1 of them in several sessions, 1 with several labels; the first: 1 (happy"
    )


def test_the_same_part_is_repeated_and_another_part_or_bytes_are_not(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", 2.0)
    changed = bytearray((tmp_path / "a.wav").read_bytes())
    changed[50] ^= 1  # the middle, which is looked at first, is the same
    (tmp_path / "b.wav").write_bytes(changed)
    shutil.copy(tmp_path / "a.wav", tmp_path / "c.wav")
    for name in ("d", "e"):
        (tmp_path / f"{name}.wav").touch()

    def spoken(name: str, file: str, part: Part = Part()) -> Utterance:  # noqa: B008
        whole = Utterance(id=name, wav=tmp_path / file, text=None, label="x", speaker="s", session="1")
        return replace(whole, start=part.start, end=part.end, channel=part.channel)

    rows = [
        *(spoken(f"whole {name}", f"{name}.wav") for name in "abcdef"),
        spoken("first", "a.wav", Part(0.0, 1.0)),
        spoken("second", "a.wav", Part(1.0, 2.0)),
        spoken("first again", "c.wav", Part(0.0, 1.0)),
        spoken("left", "c.wav", Part(0.0, 1.0, 1)),
    ]
    assert [[each.id for each in group] for group in repeated_recordings(rows)] == [
        ["whole a", "whole c"],
        ["first", "first again"],
    ]


@pytest.mark.parametrize(
    ("names", "labels", "alike"),
    [
        (["Anna", "anna ", "ANNA", "Ben"], False, ["'ANNA' 1, 'Anna' 1, 'anna ' 1"]),
        (["spk01", "spk1", "spk10", "spk_1"], False, ["'spk01' 1, 'spk1' 1, 'spk_1' 1"]),
        (["1-1", "11", "001", "1"], False, ["'001' 1, '1' 1"]),
        (["ben", "benjamin"], False, []),
        (["hap", "happy", "Sad!", "sad"], True, ["'hap' 1, 'happy' 1", "'Sad!' 1, 'sad' 1"]),
        (["-2", "2", "1.5", "15", "01", "1"], True, []),
    ],
)
def test_names_that_look_alike(names: list[str], labels: bool, alike: list[str]) -> None:
    assert sorted(look_alikes(dict.fromkeys(names, 1), labels=labels)) == sorted(alike)


def test_speakers_in_several_spellings_are_named(tmp_path: Path) -> None:
    for number in range(3):
        sound(tmp_path / f"{number}.wav")
    rows = [f"{number}.wav,sad,{name}" for number, name in enumerate(("Anna", "anna", "ben"))]
    found = survey(lines(tmp_path / "t.csv", "wav,label,speaker", *rows), given=True)
    assert told(found.checks)["look-alike speakers"] == "'Anna' 1, 'anna' 1: the same in several spellings?"
