"""Training on annotators' votes: the shares, who takes part in which part, and the class numbers' own bits where votes agree."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.spatial.distance import jensenshannon

from mer.heads import HeadConfig, HeadError, train_head, train_multi_level
from mer.heads.training.planned_runs import PlannedRuns, plan_runs
from mer.heads.training.selection import Selection, select
from mer.protocol import class_map
from mer.protocol.vote_shares import is_tied, vote_shares
from mer.report.columns import shown_columns
from mer.report.reported_run import find_runs, read_run
from mer.report.results_report import results_table, score_rows
from mer.report.run_group import group_runs
from mer.report.score_table import score_table

CacheMaker = Callable[..., Any]
LABELS = ("ang", "hap", "sad", "neu")
TINY = HeadConfig(
    granularities=("F",),
    hidden=4,
    learning_rate=0.02,
    batch=16,
    max_epochs=3,
    seeds=(0,),
    folds=("1", "2"),
    device="cpu",
    targets="soft",
)


def with_votes(cache: Any, votes: Callable[[int, str], dict[str, int]]) -> Any:
    cache.utterances.more = [{"votes": votes(row, label)} for row, label in enumerate(cache.utterances.labels)]
    return cache


def split_votes(row: int, label: str) -> dict[str, int]:
    """Two for the label and one for another; of every eighth utterance none for a class."""
    return {"fru": 3} if row % 8 == 5 else {label: 2, LABELS[(row + 1) % 4]: 1, "fru": 1}


def with_ties(cache: Any) -> Any:
    """Every sixth utterance has no majority; the last of them has no vote for a class either."""
    for row in range(0, 48, 6):
        cache.utterances.labels[row] = "xxx"
    tied = {"ang": 1, "sad": 1, "fru": 1}
    return with_votes(cache, lambda row, label: ({"fru": 1, "sur": 1} if row == 42 else tied) if label == "xxx" else {label: 2})


def planned(cache: Any, config: HeadConfig) -> tuple[Selection, PlannedRuns]:
    selection, classes = select(cache, config)
    return selection, plan_runs(selection, classes, config)


def test_shares_are_those_of_the_votes_for_classes() -> None:
    classes = class_map("4", ["ang", "hap", "exc", "sad", "neu"])
    votes = [{"ang": 2, "fru": 5}, {"hap": 1, "exc": 1, "sad": 1}, {"fru": 3}, {}]
    expected = [[1, 0, 0, 0], [0, Fraction(2, 3), Fraction(1, 3), 0]]
    np.testing.assert_array_equal(vote_shares(votes, classes)[:2], np.array(expected, dtype=np.float64))
    assert np.isnan(vote_shares(votes, classes)[2:]).all()
    assert [is_tied(each) for each in ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2}, {}, {"a": 1, "b": 3, "c": 3})] == [
        True,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("asked", [{}, {"class_weights": "balanced", "loss": "focal"}])
def test_votes_that_agree_train_what_class_numbers_train_bit_for_bit(
    make_cache: CacheMaker, tmp_path: Path, asked: dict[str, Any]
) -> None:
    cache = with_votes(make_cache(), lambda row, label: {label: 3, "fru": row % 2})
    soft, hard = (train_head(cache, replace(TINY, targets=targets, **asked), tmp_path).directory for targets in ("soft", "hard"))
    assert soft != hard
    for name in ("metrics.jsonl", "predictions.csv", "logits.safetensors"):
        assert (soft / name).read_bytes() == (hard / name).read_bytes()
    for file in sorted((soft / "weights").iterdir()):
        found, expected = load_file(file), load_file(hard / "weights" / file.name)
        assert all(value.tobytes() == expected[name].tobytes() for name, value in found.items())


def test_alone_is_stacked_and_divided_votes_train_something_else(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = with_votes(make_cache(), split_votes)
    alone, stacked, hard = (
        load_file(train_head(cache, config, tmp_path / str(number)).directory / "logits.safetensors")
        for number, config in enumerate((replace(TINY, stack=1), replace(TINY, stack=2), replace(TINY, targets="hard")))
    )
    for name, value in alone.items():
        np.testing.assert_allclose(stacked[name], value, rtol=1e-4, atol=1e-5)
        assert not np.allclose(hard[name], value, atol=1e-3)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"validation": "session"},
        {"validation": "group", "leave_out": "speaker", "folds": ("1F", "2M")},
        {"leave_out": "speaker", "fold_count": 3, "folds": None, "validation": "group"},
        {"leave_out": "given", "folds": None},
        {"text_disjoint": True},
    ],
    ids=str,
)
def test_utterances_without_a_majority_are_added_to_training_and_nothing_else_changes(
    make_cache: CacheMaker, asked: dict[str, Any]
) -> None:
    cache = with_ties(make_cache())
    for row, (each, session) in enumerate(zip(cache.utterances.more, cache.utterances.sessions, strict=True)):
        if "leave_out" in asked:
            cache.utterances.more[row] = {**each, "split": {"1": "train", "2": "dev", "3": "test"}[session]}
    config = replace(TINY, **asked)
    without, ordinary = planned(cache, config)
    with_them, more = planned(cache, replace(config, no_majority="use"))
    tied = {f"utterance-{row:03d}" for row in range(0, 42, 6)}
    assert set(with_them.ids) - set(without.ids) == tied
    table = cache.utterances
    session, speaker = dict(zip(table.ids, table.sessions, strict=True)), dict(zip(table.ids, table.speakers, strict=True))
    group = speaker if config.leave_out == "speaker" else session
    added = set[str]()
    for (old, _), (new, _) in zip(ordinary.runs, more.runs, strict=True):
        parts = ["train", "validation", "test"]
        before, after = (
            {part: {selection.ids[row] for row in getattr(fold, part)} for part in parts}
            for selection, fold in ((without, old), (with_them, new))
        )
        assert (before["test"], before["validation"]) == (after["test"], after["validation"])
        assert before["train"] == after["train"] - tied
        added |= after["train"] & tied
        assert not {group[name] for name in after["train"]} & {group[name] for name in after["test"]}
        if config.validation != "random":
            assert not {group[name] for name in after["train"]} & {group[name] for name in after["validation"]}
    assert added
    assert any("7 utterances without a majority are trained on" in note for note in more.notes)


def test_an_utterance_whose_votes_leave_nothing_is_tested_and_not_trained_on(make_cache: CacheMaker) -> None:
    cache = with_votes(make_cache(), split_votes)
    soft, plan = planned(cache, TINY)
    hard, ordinary = planned(cache, replace(TINY, targets="hard"))
    unvoted = {row for row in range(48) if row % 8 == 5}
    assert soft.ids == hard.ids
    for (fold, _), (old, _) in zip(plan.runs, ordinary.runs, strict=True):
        assert fold.test.tolist() == old.test.tolist()
        assert set(fold.train.tolist()) == set(old.train.tolist()) - unvoted
        assert set(fold.validation.tolist()) == set(old.validation.tolist()) - unvoted
    assert plan.notes == (
        "6 utterances have no vote for a class: they are tested, and not trained on",
        "60 of 186 votes are for no class and do not count",
    )
    assert ordinary.notes == ()


def test_the_agreement_with_the_votes_is_scipys_and_stands_beside_the_majority(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = with_votes(make_cache(), split_votes)
    soft, hard = (train_head(cache, replace(TINY, targets=targets), tmp_path) for targets in ("soft", "hard"))
    shares, _ = select(cache, TINY)
    for result in (soft, hard):
        logits = load_file(result.directory / "logits.safetensors")
        means = []
        for fold, first in (("1", 0), ("2", 16)):
            powers = np.exp(logits[f"fold{fold}-seed0"])
            each = [
                1 - jensenshannon(share, power / power.sum(), base=2) ** 2
                for share, power in zip(np.array(shares.shares)[first : first + 16], powers, strict=True)
                if not np.isnan(share).any()
            ]
            assert len(each) == 14
            means.append(np.mean(each))
        scores = result.values["summary"]["all"]
        np.testing.assert_allclose(scores["vote_agreement"]["mean_of_folds"], np.mean(means), rtol=1e-12)
        np.testing.assert_allclose(result.values["runs"][0]["vote_agreement"], means[0], rtol=1e-12)
        assert scores["ua"]["mean_of_folds"] > 0
    named = [run.name for run in find_runs((tmp_path,))]
    assert sorted(named) == ["late F+T", "late F+T, targets soft"]
    both = score_table(group_runs([read_run(each.directory) for each in (hard, soft)])[0])
    assert [column.key for column in shown_columns(both)].count("vote_agreement") == 1
    assert all(row.share("vote_agreement", "mean_of_folds") for row in both.rows)
    alone = score_table(group_runs([read_run(hard.directory)])[0])
    assert "vote_agreement" not in [column.key for column in shown_columns(alone)]
    titles = [[column.header for column in results_table(score_rows([each.values])).columns] for each in (soft, hard)]
    assert ["1-JSD" in each for each in titles] == [True, False]


def test_a_row_of_multi_level_fusion_needs_one_kind_of_targets(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = with_votes(make_cache(), split_votes)
    early = replace(TINY, fusion="coattention", attention_heads=2, attention_layers=1, feed_forward_ratio=1)
    with pytest.raises(HeadError, match="targets differs: soft and hard"):
        train_multi_level(cache, early, replace(TINY, targets="hard"), tmp_path)


def test_what_cannot_be_trained_on_votes_is_refused(make_cache: CacheMaker) -> None:
    with pytest.raises(HeadError, match=r"no utterance of the cache has any: IEMOCAP.*column `votes`.*--targets hard"):
        select(make_cache(), TINY)
    with pytest.raises(HeadError, match=r"no vote is for a class: votes say wrath, and the classes are made of ang, hap"):
        select(with_votes(make_cache(), lambda row, label: {"wrath": 2}), TINY)
    with pytest.raises(HeadError, match="no_majority 'use' needs targets 'soft'"):
        replace(TINY, targets="hard", no_majority="use")


def test_results_of_before_keep_their_identity(make_cache: CacheMaker) -> None:
    plain = replace(TINY, targets="hard")
    assert {"targets", "no_majority"} & set(plain.identity()) == set()
    assert json.dumps(replace(TINY, no_majority="use").identity()).count('"use"') == 1
    cache = make_cache()
    before = select(cache, plain)[0].fingerprint()
    assert select(with_votes(cache, split_votes), plain)[0].fingerprint() == before
    assert select(cache, TINY)[0].fingerprint() != before
