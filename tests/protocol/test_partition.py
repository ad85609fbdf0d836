from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.protocol import Fold, HeldOut, Partition, ProtocolError, make_fold, make_partition
from mer.protocol.part_names import part_names


@dataclass(frozen=True, kw_only=True)
class Table:
    """The columns of a small corpus; whatever is not given is alike in every row."""

    ids: Sequence[str]
    speakers: Sequence[str]
    sessions: Sequence[str]
    dialogues: Sequence[str]
    more: Sequence[Mapping[str, Any]]


def table(
    count: int = 12,
    *,
    speakers: Sequence[str] | None = None,
    sessions: Sequence[str] | None = None,
    dialogues: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    rows = range(count)
    own = columns or {}
    return Table(
        ids=[f"u{row:02d}" for row in rows],
        speakers=speakers or [f"s{row % 4}" for row in rows],
        sessions=sessions or ["1"] * count,
        dialogues=dialogues or [""] * count,
        more=[
            {"split": splits[row] if splits else "", "columns": {name: values[row] for name, values in own.items()}}
            for row in rows
        ],
    )


def targets_of(rows: Table) -> np.ndarray:
    return np.arange(len(rows.ids), dtype=np.int64) % 2


def partition(rows: Table, **asked: Any) -> Partition:
    return make_partition(rows, targets_of(rows), **asked)


def rows_tested(found: Partition) -> dict[str, list[int]]:
    return {name: cut.test.tolist() for name, cut in found.cuts.items()}


def fold_of(found: Partition, rows: Table, name: str, seed: int, validation: HeldOut = "random") -> Fold:
    about = {"sessions": rows.sessions, "groups": found.groups, "classes": ["angry", "sad"], "share": 0.2}
    return make_fold(found.cuts[name], **about, targets=targets_of(rows), seed=seed, validation=validation)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("Train Validation TEST", "train dev test"),
        ("training val testing", "train dev test"),
        ("train-clean-100 dev-other test-clean", "train dev test-clean"),
        ("Train Development Test1 Test2", "train dev test1 test2"),
        ("train devel test_unseen", "train dev test_unseen"),
        ("trn cv tst", "train dev test"),
        ("train dev eval", "train dev eval"),
        ("train eval test", "train dev test"),
        ("train evaluation", "train evaluation"),
        ("train test extra", None),
        ("1 2 3", None),
        ("trainee test", None),
    ],
)
def test_parts_are_known_by_their_usual_spellings(words: str, parts: str | None) -> None:
    expected = None if parts is None else dict(zip(words.split(), parts.split(), strict=True))
    assert part_names([*words.split(), ""]) == expected


def test_the_own_split_of_a_corpus_is_used_where_every_utterance_has_a_part() -> None:
    words = ["Train"] * 6 + ["validation"] * 2 + ["Test2", "Test1"] * 2
    found = partition(table(splits=words))
    assert rows_tested(found) == {"test1": [9, 11], "test2": [8, 10]}
    assert all((cut.train.tolist(), cut.dev.tolist()) == ([0, 1, 2, 3, 4, 5], [6, 7]) for cut in found.cuts.values())
    assert "the corpus' own split is used, train 6, dev 2, test1 2, test2 2; --leave-out session ignores it" in found.notes
    assert any("not speaker independent: 4 speakers of test parts" in note for note in found.notes)
    assert found.identity(table().ids)["partition"]["folds"] == ["test1", "test2"]

    sessions = table(splits=words, sessions=[str(row // 6) for row in range(12)], speakers=["a"] * 6 + ["b"] * 6)
    assert rows_tested(partition(sessions, leave_out="session")) == {"0": [0, 1, 2, 3, 4, 5], "1": [6, 7, 8, 9, 10, 11]}
    # A part for some of them only: said, and used where it is asked for.
    words[0] = ""
    some = table(splits=words, sessions=sessions.sessions, speakers=sessions.speakers)
    assert partition(some).leave_out == "session"
    assert partition(some).notes == ("1 of 12 utterances have no part in the corpus' own split, so that it is not used",)


def test_sessions_that_are_called_train_and_test_are_a_split_and_others_stay_sessions() -> None:
    found = partition(table(sessions=["train", "dev", "test"] * 4))
    assert (found.leave_out, list(found.cuts), len(found.cuts["test"].dev)) == ("given", ["test"], 4)
    plain = partition(table(sessions=["10", "2", "b"] * 4, speakers=["x", "y", "z"] * 4))
    assert (list(plain.cuts), plain.notes, plain.identity(["u"])) == (["2", "10", "b"], (), {})


def test_published_folds_of_a_corpus_are_used_each_with_its_own_parts() -> None:
    tested = [row % 3 for row in range(12)]
    columns = {f"Fold_{fold + 1}": ["test" if own == fold else "train" for own in tested] for fold in (2, 0, 1)}
    columns["Fold_1"][11], columns["Fold_1"][1] = "", "valid"  # not used in this fold; chooses the epoch
    rows = table(columns=columns)
    found = partition(rows)
    assert rows_tested(found) == {str(fold + 1): [row for row in range(12) if tested[row] == fold] for fold in range(3)}
    assert (found.leave_out, found.cuts["1"].dev.tolist()) == ("given", [1])
    assert found.cuts["1"].train.tolist() == [2, 4, 5, 7, 8, 10]
    assert found.notes[0] == (
        "the corpus' own split is used, 3 folds, each with training and test parts of its own; --leave-out session ignores it"
    )
    assert partition(rows, leave_out="given").cuts.keys() == found.cuts.keys()
    assert partition(table(columns=columns, speakers=["a", "b"] * 6, sessions=["1", "2"] * 6), leave_out="session").plain
    # A split goes before; a column that says something else is left alone, and that is said.
    assert list(partition(table(columns=columns, splits=["train"] * 6 + ["test"] * 6)).cuts) == ["test"]
    numbers = table(columns={"fold_1": ["3"] * 12}, speakers=["a", "b"] * 6, sessions=["1", "2"] * 6)
    assert "column 'fold_1' says 3; its folds are not used" in partition(numbers).notes[0]
    with pytest.raises(ProtocolError, match="column 'fold_1' says 3"):
        partition(numbers, leave_out="given")


@pytest.mark.parametrize(
    ("leave_out", "folds"),
    [("speaker", ["s0", "s1", "s2", "s3"]), ("dialogue", ["a", "b", "c"]), ("mic", ["far", "near"])],
)
def test_any_column_can_be_left_out(leave_out: str, folds: list[str]) -> None:
    rows = table(dialogues=["a", "b", "c"] * 4, columns={"mic": ["near"] * 6 + ["far"] * 6})
    found = partition(rows, leave_out=leave_out)
    assert list(found.cuts) == folds
    assert sorted(row for rows in rows_tested(found).values() for row in rows) == list(range(12))
    assert bool(found.notes) == (leave_out != "speaker")


@pytest.mark.parametrize(
    ("about", "asked", "message"),
    [
        ({}, {}, r"leaving one session out needs at least 2 sessions, found 1 \(1\): .*--leave-out"),
        ({}, {"leave_out": "speaker", "fold_count": 5}, "5 folds need at least 5 speakers, found 4"),
        ({}, {"leave_out": "mic"}, "there is no 'mic' to leave out; the corpus has session, speaker, dialogue, utterance"),
        ({}, {"leave_out": "dialogue"}, "12 of 12 utterances have no dialogue, first 'u00'"),
        ({}, {"leave_out": "utterance"}, "give --fold-count"),
        ({}, {"leave_out": "given"}, "no utterance has a part"),
        ({"splits": ["train", "fun"] * 6}, {"leave_out": "given"}, "the corpus' split says fun, train, which is not used"),
        ({"splits": ["train", "dev"] * 6}, {"leave_out": "given"}, "no train and test part, only dev, train"),
    ],
)
def test_what_cannot_be_left_out_is_refused_with_what_can(about: dict[str, Any], asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        partition(table(**about), **asked)


def test_a_speaker_of_two_sessions_and_an_unknown_fold_are_refused_once_they_are_asked_for() -> None:
    found = partition(table(3, sessions=["1", "2", "3"], speakers=["ann", "ann", "bob"]))
    assert found.chosen(["3"]) == ("3",)
    with pytest.raises(ProtocolError, match=r"speaker ann speaks in session 1 and in another one.*--leave-out speaker"):
        found.chosen(None)
    with pytest.raises(ProtocolError, match="no session 9 to test on, only 1, 2, 3: extract it first"):
        found.chosen(["9"])


def test_balanced_folds_are_those_of_scikit_learn_and_need_no_draw() -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    rows = table(60, speakers=[f"s{row % 7}" for row in range(60)])
    found = partition(rows, leave_out="speaker", fold_count=3)
    numbers = [int(name[1:]) for name in rows.speakers]
    theirs = StratifiedGroupKFold(3).split(np.zeros(60), targets_of(rows), numbers)
    assert rows_tested(found) == {str(number): test.tolist() for number, (_, test) in enumerate(theirs, start=1)}


@pytest.mark.parametrize(
    ("text", "tested"),
    [
        ("id,split\nu00,train\nu01,Train\nu02,dev\nu03,test\n", {"test": [3]}),
        ("ID; Fold_1 ;fold_2\nu00;train;test\nu01;test;train\nu02;train;train\n", {"1": [1], "2": [0]}),
        ("id\tfold_1\nu00\ttest1\nu01\ttest2\nu02\ttrain\n", {"1.test1": [0], "1.test2": [1]}),
        ("id,fold\nu00,1\nu01,2\nu02,10\nu03,2\nu09,\n", {"1": [0], "2": [1, 3], "10": [2]}),
    ],
)
def test_a_file_gives_the_parts(tmp_path: Path, text: str, tested: dict[str, list[int]]) -> None:
    file = tmp_path / "splits.csv"
    file.write_text(text, encoding="utf-8-sig")
    found = partition(table(), splits=str(file))
    assert rows_tested(found) == tested
    assert found.notes[0] == "parts are those of splits.csv"
    assert any("utterances have no part and are not used" in note for note in found.notes)
    assert found.identity(table().ids) != partition(table(12), leave_out="speaker").identity(table().ids)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,split\n", "no row below the header"),
        ("name,split\nu00,train\n", "no column 'id' among 'name', 'split'"),
        ("id,emotion\nu00,sad\n", "neither a column 'split' nor one that begins with 'fold'"),
        ("id,split\nu00,train\nu00,test\n", "id 'u00' has 2 rows"),
        ("id,split\nu00,train\nu01,fun\n", "column 'split' says 'fun'; expected train"),
        ("id,split\nu00,train\nu01,dev\n", "has the parts dev, train: a part train and at least one test part"),
        ("id,fold\nu00,1\nu01,1\n", "column 'fold' has 1 fold"),
        ("id,split\nx,train\ny,test\n", "none of its ids is in the corpus; the first there is 'u00', here 'x'"),
    ],
)
def test_a_file_without_parts_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "splits.csv"
    file.write_text(text)
    with pytest.raises(ProtocolError, match=message):
        partition(table(), splits=str(file))
    with pytest.raises(ProtocolError, match="cannot be read"):
        partition(table(), splits=str(tmp_path))


NAMES = st.sampled_from(["ann", "bob", "cid", "dan", "eve", "fay"])


@settings(max_examples=150, deadline=None)
@given(data=st.data(), count=st.integers(20, 60), seeds=st.lists(st.integers(0, 2**40), min_size=2, max_size=3))
def test_nobody_trains_on_dev_or_test_and_groups_stay_whole(data: st.DataObject, count: int, seeds: list[int]) -> None:
    def column(values: st.SearchStrategy[str]) -> list[str]:
        return data.draw(st.lists(values, min_size=count, max_size=count))

    split = column(st.sampled_from(["train", "dev", "test1", "test2"]))
    rows = table(count, speakers=column(NAMES), sessions=column(NAMES), dialogues=column(NAMES), splits=split)
    leave_out = data.draw(st.sampled_from(["given", "speaker", "dialogue", "utterance"]))
    fold_count = (
        None if leave_out == "given" else data.draw(st.sampled_from([2, 3] if leave_out == "utterance" else [None, 2, 3]))
    )
    validation = cast(HeldOut, data.draw(st.sampled_from(["random", "group", "none"])))
    try:
        found = partition(rows, leave_out=leave_out, fold_count=fold_count)
        folds = {(name, seed): fold_of(found, rows, name, seed, validation) for name in found.cuts for seed in seeds}
    except ProtocolError:
        return
    tested = [row for cut in found.cuts.values() for row in cut.test.tolist()]
    assert len(tested) == len(set(tested))
    for (name, _), fold in folds.items():
        parts = [set(part.tolist()) for part in (fold.train, fold.validation, fold.test)]
        assert sum(map(len, parts)) == len(set().union(*parts))
        assert fold.test.tolist() == found.cuts[name].test.tolist()
        again = folds[name, seeds[0]]
        if leave_out == "given":
            dev = [row for row in range(count) if split[row] == "dev"]
            assert not set(dev) & parts[0]
            assert {split[row] for row in parts[2]} == {name}
            if dev and validation != "none":
                assert (fold.validation.tolist(), fold.train.tolist()) == (dev, again.train.tolist())
        else:
            groups = [{found.groups[row] for row in part} for part in parts]
            assert not (groups[0] | groups[1]) & groups[2]
            assert validation != "group" or not groups[0] & groups[1]
            assert len(set().union(*parts)) == count
