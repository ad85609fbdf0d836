from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mer.corpus import iemocap_census as census_module
from mer.corpus.full_release import FULL_LABELS, FULL_RELEASE, RELEASED_WITHOUT_ALIGNMENT, ReleasedSession
from mer.corpus.iemocap_census import take_census
from mer.corpus.utterance import Problem
from mer.corpus.utterance_id import parse_utterance_id

MakeRelease = Callable[[dict[str, list[tuple[str, str, str]]]], Path]
TURNS = [("F000", "neu", "One."), ("F001", "ang", "Two."), ("M000", "fru", "Three.")]


def test_the_full_release_has_the_published_sums() -> None:
    totals = {label: sum(s.labels[label] for s in FULL_RELEASE.values()) for label in FULL_RELEASE["1"].labels}
    assert totals == {label: FULL_LABELS[label] for label in totals}
    assert sum(totals.values()) == 5531
    assert [sum(s.labels.values()) for s in FULL_RELEASE.values()] == [1085, 1023, 1151, 1031, 1241]
    assert sum(s.utterances for s in FULL_RELEASE.values()) == sum(FULL_LABELS.values()) == 10039


def test_the_full_release_has_151_dialogues() -> None:
    assert [len(s.dialogues) for s in FULL_RELEASE.values()] == [28, 30, 32, 30, 31]
    names = {name for s in FULL_RELEASE.values() for name in s.dialogues}
    assert {"Ses03M_impro05a", "Ses03M_impro08b", "Ses05M_script01_1b", "Ses03F_impro05"} <= names
    assert not {"Ses03M_impro05", "Ses03M_impro08", "Ses01F_impro08"} & names
    assert all(parse_utterance_id(f"{name}_F000") for name in names)


@pytest.fixture
def small_release(make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that is whole, measured against a release of two dialogues in two sessions."""
    released = {
        session: ReleasedSession(
            labels={"ang": 1, "hap": 0, "exc": 0, "sad": 0, "neu": 1},
            utterances=3,
            dialogues=frozenset({f"Ses0{session}F_impro01"}),
        )
        for session in "12"
    }
    monkeypatch.setattr(census_module, "FULL_RELEASE", released)
    monkeypatch.setattr(census_module, "FULL_LABELS", {"neu": 2, "ang": 2, "fru": 2})
    monkeypatch.setattr(census_module, "RELEASED_WITHOUT_ALIGNMENT", frozenset({"Ses01F_impro01_M000"}))
    return make_release({f"Ses0{session}F_impro01": TURNS for session in "12"})


def test_a_whole_copy_is_complete(small_release: Path) -> None:
    census = take_census(small_release)
    assert census.complete
    assert not census.synthetic
    assert census.labels == census.expected_labels == {"neu": 2, "ang": 2, "fru": 2}
    assert [(s.session, s.utterances, s.expected_utterances, s.dialogues) for s in census.sessions] == [
        ("1", 3, 3, 1),
        ("2", 3, 3, 1),
    ]
    assert census.sessions[0].labels == {"neu": 1, "ang": 1, "fru": 1}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_gap_is_named(small_release: Path) -> None:
    edit(small_release / "Session2/dialog/EmoEvaluation/Ses02F_impro01.txt", "_F000\tneu", "_F002\tneu")
    census = take_census(small_release)
    assert census.missing_ids == ("Ses02F_impro01_F000",)
    assert census.labels_without_wav == census.labels_without_transcript == ("Ses02F_impro01_F002",)
    assert census.wavs_without_label == ("Ses02F_impro01_F000",)
    assert not census.complete


def test_a_lost_last_turn_is_named_by_its_text_or_audio_else_counted(small_release: Path) -> None:
    session = small_release / "Session2"
    text = session / "dialog/transcriptions/Ses02F_impro01.txt"
    wav = session / "sentences/wav/Ses02F_impro01/Ses02F_impro01_F001.wav"
    edit(session / "dialog/EmoEvaluation/Ses02F_impro01.txt", "Ses02F_impro01_F001\tang", "gone")
    wav.unlink()
    assert take_census(small_release).missing_ids == ("Ses02F_impro01_F001",)
    text.unlink()
    wav.touch()
    assert take_census(small_release).missing_ids == ("Ses02F_impro01_F001",)
    wav.unlink()
    census = take_census(small_release)
    assert census.missing_ids == ()
    assert census.sessions[1].utterances == 2
    assert not census.sessions[1].complete
    assert census.sessions[0].complete


@pytest.mark.parametrize(
    "change",
    [{"labels": {"neu": 2}}, {"labels": {"ang": 1}}, {"utterances": 2}, {"utterances": 4}, {"dialogues": 2}],
)
def test_each_count_of_a_session_matters(small_release: Path, change: dict[str, Any]) -> None:
    session = take_census(small_release).sessions[0]
    assert session.complete
    assert replace(session, labels={"neu": 1, "ang": 1, "xxx": 1}).complete
    assert not replace(session, **change).complete


@pytest.mark.parametrize(
    "name",
    [
        "missing_dialogues",
        "extra_dialogues",
        "missing_ids",
        "labels_without_wav",
        "wavs_without_label",
        "labels_without_transcript",
        "without_alignment",
        "partly_aligned",
        "problems",
    ],
)
def test_each_list_matters(small_release: Path, name: str) -> None:
    census = take_census(small_release)
    fault: Any = Problem(kind="k", where="w", message="m") if name == "problems" else "Ses02F_impro01_F000"
    changed: dict[str, Any] = {name: (fault,)}
    assert not replace(census, **changed).complete
    only_in_releases = name in ("without_alignment", "partly_aligned")
    assert replace(census, synthetic=True, **changed).complete is only_in_releases


def test_a_missing_session_is_counted_as_empty_and_its_dialogues_are_named(small_release: Path) -> None:
    (small_release / "Session2").rename(small_release / "away")
    census = take_census(small_release)
    assert census.missing_dialogues == ("Ses02F_impro01",)
    assert [(s.session, s.utterances, s.complete) for s in census.sessions] == [
        ("1", 3, True),
        ("2", 0, False),
    ]
    assert not census.complete


def test_an_extra_dialogue_is_named(small_release: Path, make_release: MakeRelease) -> None:
    make_release({"Ses02M_impro01": TURNS})
    census = take_census(small_release)
    assert census.extra_dialogues == ("Ses02M_impro01",)
    assert not census.complete


def test_only_unexpected_gaps_in_the_alignments_count(small_release: Path) -> None:
    def unalign(name: str) -> None:
        folder = small_release / "Session1/sentences/ForcedAlignment/Ses01F_impro01"
        for path in folder.glob(f"{name}.*"):
            path.unlink()

    unalign("Ses01F_impro01_M000")
    census = take_census(small_release)
    assert census.without_alignment == census.expected_without_alignment == ("Ses01F_impro01_M000",)
    assert census.complete
    assert census.partly_aligned == ()
    unalign("Ses01F_impro01_F001")
    census = take_census(small_release)
    assert census.without_alignment == ("Ses01F_impro01_F001", "Ses01F_impro01_M000")
    assert not census.complete


@pytest.mark.parametrize("fault", ["wav", "wdseg", "transcript", "malformed line", "label"])
def test_each_single_fault_makes_a_copy_incomplete(small_release: Path, fault: str) -> None:
    session = small_release / "Session1"
    labels = session / "dialog/EmoEvaluation/Ses01F_impro01.txt"
    if fault == "wav":
        (session / "sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav").unlink()
    elif fault == "wdseg":
        (session / "sentences/ForcedAlignment/Ses01F_impro01/Ses01F_impro01_F000.wdseg").unlink()
    elif fault == "transcript":
        edit(session / "dialog/transcriptions/Ses01F_impro01.txt", "_F001 [", "_FXX1 [")
    elif fault == "malformed line":
        labels.write_text(labels.read_text() + "[what]\n")
    else:
        edit(labels, "\tfru\t", "\toth\t")
    assert not take_census(small_release).complete


def test_a_partly_aligned_utterance_is_named(small_release: Path) -> None:
    folder = small_release / "Session1/sentences/ForcedAlignment/Ses01F_impro01"
    (folder / "Ses01F_impro01_F001.phseg").unlink()
    census = take_census(small_release)
    assert census.partly_aligned == ("Ses01F_impro01_F001",)
    assert census.without_alignment == ()


def test_synthetic_speech_is_compared_with_no_release(make_release: MakeRelease) -> None:
    root = make_release({"Ses01F_impro01": TURNS})
    (root / "SYNTHETIC.json").write_text("{}")
    for path in (root / "Session1/sentences/ForcedAlignment/Ses01F_impro01").glob("*_F000.*"):
        path.unlink()
    census = take_census(root)
    assert census.synthetic
    assert census.complete
    assert (census.expected_labels, census.sessions[0].expected_labels) == (None, None)
    assert (census.missing_dialogues, census.extra_dialogues) == ((), ())
    assert census.without_alignment == ("Ses01F_impro01_F000",)
    (root / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav").unlink()
    assert not take_census(root).complete


def test_a_release_without_sessions_names_all_151_dialogues_but_one(make_release: MakeRelease) -> None:
    census = take_census(make_release({"Ses03M_impro05a": TURNS}))
    assert len(census.missing_dialogues) == 150
    assert [s.session for s in census.sessions] == ["1", "2", "3", "4", "5"]
    assert set(census.expected_without_alignment) == RELEASED_WITHOUT_ALIGNMENT
