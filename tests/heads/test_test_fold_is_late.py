"""The test fold chooses nothing: its utterances are untouched until a run's last epoch is over, and no option changes that."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.main import get_command

from mer.cli import app
from mer.finetune.config import FinetuneConfig
from mer.grids.grid import Grid, GridRow
from mer.grids.grid_events import TaskEvent
from mer.grids.grid_kind import HEAD_GRIDS
from mer.grids.head_tasks import HeadTasks
from mer.grids.run_grid import run_grid
from mer.heads import EpochDone, HeadConfig, HeadError, RunDone, train_head, train_multi_level
from mer.heads.kinds import HEADS as KINDS
from mer.heads.kinds import Needs
from mer.protocol import Validation

CacheMaker = Callable[..., Any]
TEST = "2"
LABELS = ("ang", "hap", "sad", "neu")
TINY = HeadConfig(
    granularities=("F",),
    hidden=4,
    attention_heads=2,
    attention_layers=1,
    feed_forward_ratio=1,
    learning_rate=0.02,
    batch=16,
    max_epochs=3,
    patience=3,
    seeds=(0, 1),
    folds=(TEST,),
    device="cpu",
)


def head(fusion: str, **options: Any) -> HeadConfig:
    modality = "speech" if KINDS[fusion].needs is Needs.ONE else "both"
    return replace(TINY, **{"fusion": fusion, "modality": modality, **options})


HEADS = {fusion: head(fusion) for fusion in KINDS}


class Guard:
    """Stands before a cache: test utterances can be read between a run's last epoch and its end, and at no other time.

    It is told what training reports, and works the last epoch out for itself. It knows one run at a time, so runs
    must be trained one after the other.
    """

    def __init__(self, cache: Any, *, max_epochs: int, patience: int) -> None:
        self.test = {row for row, session in enumerate(cache.utterances.sessions) if session == TEST}
        self.max_epochs, self.patience = max_epochs, patience
        self.is_open, self.losses, self.lengths, self.looks = False, list[float](), list[int](), 0
        self.packed, cache.packed = cache.packed, self.guarded

    def guarded(self, granularity: str, indices: Sequence[int] | None = None) -> "GuardedUnits":
        assert indices is None or list(indices) == list(range(48)), "row numbers are those of the cache"
        return GuardedUnits(self.packed(granularity, indices), self)

    def check(self, rows: Sequence[int]) -> None:
        if self.test & set(rows):
            assert self.is_open, "a test utterance was touched before the last epoch was over"
            self.looks += 1

    def hear(self, event: object) -> None:
        if isinstance(event, EpochDone):
            assert not self.is_open, "an epoch after the last one"
            self.losses.append(event.validation_loss)
            without_lower = len(self.losses) - 1 - int(np.argmin(self.losses))
            self.is_open = len(self.losses) == self.max_epochs or without_lower == self.patience
        elif isinstance(event, RunDone):
            assert self.is_open, "a run that ended before its last epoch"
            assert self.looks, "a run that was never tested"
            self.lengths.append(len(self.losses))
            self.is_open, self.losses, self.looks = False, [], 0


class GuardedUnits:
    def __init__(self, packed: Any, guard: Guard) -> None:
        self.inner, self.guard = packed, guard
        self.lengths, self.nbytes, self.layers, self.dim = packed.lengths, packed.nbytes, packed.layers, packed.dim

    def views(self, rows: Sequence[int]) -> Any:
        self.guard.check(rows)
        return self.inner.views(rows)

    def release(self, rows: Sequence[int]) -> None:
        self.inner.release(rows)

    def prefetch(self, rows: Sequence[int]) -> None:
        self.guard.check(rows)
        self.inner.prefetch(rows)


def recurring(cache: Any) -> Any:
    """`cache` with two test sentences that recur in training, so that text-disjoint training has something to remove."""
    cache.utterances.texts[:] = [f"line {row}" for row in range(48)]
    for other, test in ((3, 17), (40, 30)):
        cache.utterances.texts[other] = cache.utterances.texts[test]
    return cache


@pytest.mark.parametrize("validation", get_args(Validation))
@pytest.mark.parametrize("fusion", HEADS)
def test_no_head_touches_a_test_utterance_before_the_last_epoch_of_its_run(
    make_cache: CacheMaker, tmp_path: Path, fusion: str, validation: str
) -> None:
    """Features are streamed, so that asking for pages ahead of their use is held to it too."""
    cache = recurring(make_cache())
    guard = Guard(cache, max_epochs=3, patience=3)
    config = replace(HEADS[fusion], validation=validation, text_disjoint=True, stack=1, ram_gib=1e-6)
    result = train_head(cache, config, tmp_path, progress=guard.hear)
    assert result.values["removed_for_text"] == {TEST: 2}
    assert result.values["failed_runs"] == []
    assert guard.lengths == [3, 3]


def test_early_stopping_does_not_look_either(make_cache: CacheMaker, tmp_path: Path) -> None:
    """The labels are noise and the steps large, so that the validation loss soon rises."""
    cache = make_cache(signal=0.0)
    guard = Guard(cache, max_epochs=30, patience=1)
    config = head("late", learning_rate=0.1, max_epochs=30, patience=1, stack=1, seeds=(0, 1, 2))
    train_head(cache, config, tmp_path, progress=guard.hear)
    assert len(guard.lengths) == 3
    assert max(guard.lengths) < 30


def test_normalisation_by_speaker_reads_a_test_speaker_after_the_last_epoch_only(make_cache: CacheMaker, tmp_path: Path) -> None:
    guard = Guard(cache := make_cache(), max_epochs=3, patience=3)
    train_head(cache, head("late", normalize="speaker", stack=1, ram_gib=1e-6), tmp_path, progress=guard.hear)
    assert guard.lengths == [3, 3]


def test_neither_head_of_multi_level_fusion_looks(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = recurring(make_cache())
    guard = Guard(cache, max_epochs=3, patience=3)
    early, late = (replace(HEADS[name], text_disjoint=True, stack=1) for name in ("coattention", "late"))
    train_multi_level(cache, early, replace(late, granularities=("S",)), tmp_path, progress=guard.hear)
    assert guard.lengths == [3, 3, 3, 3]


def test_no_row_of_a_grid_looks(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = recurring(make_cache())
    guard = Guard(cache, max_epochs=3, patience=3)
    configs: list[tuple[HeadConfig, ...]] = [(replace(config, stack=1),) for config in HEADS.values()]
    configs += [(replace(configs[0][0], validation="session", text_disjoint=True),)]
    configs += [tuple(replace(HEADS[name], stack=1, granularities=("S",)) for name in ("coattention", "late"))]
    rows = tuple(GridRow(name=str(number), configs=each) for number, each in enumerate(configs))

    def hear(event: object) -> None:
        if isinstance(event, TaskEvent):
            guard.hear(event.event)

    result = run_grid(Grid(name="all", title="All", rows=rows), HeadTasks(cache, tmp_path), progress=hear)
    assert not result.failed
    assert guard.lengths == [3] * 2 * (len(HEADS) + 1 + 2)


def test_the_guard_would_notice(make_cache: CacheMaker) -> None:
    cache = make_cache()
    Guard(cache, max_epochs=3, patience=3)
    units, test = cache.packed("F", range(48)), cache.utterances.sessions.index(TEST)
    units.views([0, 1])
    for touch in (units.views, units.prefetch):
        with pytest.raises(AssertionError, match="a test utterance was touched before the last epoch was over"):
            touch([0, test])


def with_another_test_session(cache: Any) -> Any:
    """`cache` with other features and labels in the test session, of the same lengths and class counts."""
    random = np.random.default_rng(9)
    rows = [row for row, session in enumerate(cache.utterances.sessions) if session == TEST]
    for arrays in cache.units.values():
        for row in rows:
            arrays[row] = (5 * random.standard_normal(arrays[row].shape)).astype(np.float16)
    labels = [cache.utterances.labels[row] for row in rows]
    for row, label in zip(rows, labels[1:] + labels[:1], strict=True):
        cache.utterances.labels[row] = label
    return cache


def voted(cache: Any) -> Any:
    """`cache` with three votes and ratings of each utterance, and two utterances of session 1 without a majority."""
    table = cache.utterances
    for row in (4, 9):
        table.labels[row] = "xxx"
    others = dict(zip(LABELS, LABELS[1:] + LABELS[:1], strict=True))
    table.more = [
        {
            "votes": {label: 2, others[label]: 1} if label in others else {"ang": 1, "sad": 1},
            "attributes": [1.0 + (*LABELS, "xxx").index(label), 2.0 + row % 3, 3.0 - row % 2],
        }
        for row, label in enumerate(table.labels)
    ]
    return cache


def what_was_learned(folder: Path, fold: str) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Weights and statistics, and the epochs, of all runs of a fold."""
    files = sorted((folder / "weights").glob(f"fold{fold}-*.safetensors"))
    assert files
    weights = {f"{file.stem} {name}": value for file in files for name, value in load_file(file).items()}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return weights, [line for line in lines if line["fold"] == fold]


def check_independent(make_cache: CacheMaker, folder: Path, config: HeadConfig, others: Sequence[str] = ()) -> None:
    """Everything that is learned for the test session is the same whatever it holds; `others` learn from it."""
    about = voted if config.soft or config.dimensions else recurring
    first = train_head(about(recurring(make_cache())), config, folder / "first")
    second = train_head(about(with_another_test_session(recurring(make_cache()))), config, folder / "second")
    weights, epochs = what_was_learned(first.directory, TEST)
    changed, same_epochs = what_was_learned(second.directory, TEST)
    assert epochs
    assert epochs == same_epochs
    for name, value in weights.items():
        np.testing.assert_array_equal(changed[name], value)
    best = [
        [(run["best_epoch"], run["layer_shares"]) for run in result.values["runs"] if run["fold"] == TEST]
        for result in (first, second)
    ]
    assert best[0] == best[1]
    logits = [load_file(result.directory / "logits.safetensors") for result in (first, second)]
    assert not any(np.allclose(value, logits[1][name]) for name, value in logits[0].items() if name.startswith(f"fold{TEST}-"))
    for fold in others:
        assert what_was_learned(first.directory, fold)[1] != what_was_learned(second.directory, fold)[1]


@pytest.mark.parametrize("fusion", HEADS)
def test_what_the_test_session_holds_changes_no_run_of_it_in_a_stack(make_cache: CacheMaker, tmp_path: Path, fusion: str) -> None:
    """The runs of other folds in the stack learn from that session at the same time."""
    config = replace(HEADS[fusion], folds=None, max_epochs=2, stack=6)
    check_independent(make_cache, tmp_path, config, others=("1", "3"))


OTHERWISE: Mapping[str, Sequence[dict[str, Any]]] = {
    "granularities": [{"granularities": ("S",)}, {"granularities": ("F", "S")}],
    "modality": [{"modality": "speech"}, {"modality": "text"}],
    "fusion": [{"fusion": "concatenation"}],
    "hidden": [{"hidden": 6}],
    "attention_heads": [{"fusion": "coattention", "attention_heads": 4}],
    "attention_layers": [{"fusion": "coattention", "attention_layers": 2}],
    "feed_forward_ratio": [{"fusion": "coattention", "feed_forward_ratio": 2}],
    "head_options": [{"fusion": "mer.tests.heads.test_own_head:Fast", "head_options": ("scale=2",)}],
    "layers": [{"layers": (2,)}, {"layers": (1, 3)}],
    "layer_weights": [{"layer_weights": "softmax"}],
    "dropout": [{"dropout": 0.0}],
    "learning_rate": [{"learning_rate": None}],
    "batch": [{"batch": 5}],
    "max_epochs": [{"max_epochs": 4, "learning_rate": 0.2}],
    "patience": [{"patience": 1, "max_epochs": 5, "learning_rate": 0.2}],
    "validation": [{"validation": "session"}],
    "validation_share": [{"validation_share": 0.5}],
    "normalize": [{"normalize": "global"}, {"normalize": "speaker"}, {"normalize": "none"}],
    "text_disjoint": [{"text_disjoint": True}],
    "classes": [{"classes": "as-is"}],
    "class_weights": [{"class_weights": "balanced"}, {"class_weights": "effective"}],
    "loss": [{"loss": "focal"}],
    "precision": [{"precision": "float32"}],
    "focal_gamma": [{"loss": "focal", "focal_gamma": 1.0}],
    "predict": [{"predict": "vad"}],
    "rating_loss": [{"predict": "valence", "rating_loss": "mse"}],
    "targets": [{"targets": "soft"}],
    "no_majority": [{"targets": "soft", "no_majority": "use"}],
    "drop_class": [{"drop_class": ("sad",)}],
    "min_per_class": [{"min_per_class": 1}],
    "leave_out": [{"leave_out": "session"}],
    "seeds": [{"seeds": (7,)}],
    "folds": [{"folds": (TEST, "3")}],
    "device": [{"device": "cpu"}],
    "ram_gib": [{"ram_gib": 1e-6}],
    "device_memory_gib": [{"device_memory_gib": 1e-6}],
    "stack": [{"stack": 1}, {"stack": 2, "seeds": (0, 1, 2)}],
    "track": [{"track": "tensorboard"}],
}
"""For each field of `HeadConfig`, other values than those of `TINY`."""
WHICH_FOLDS = {"leave_out", "fold_count", "splits"}
"""Fields that say what a fold tests on: tests/protocol/test_partition.py holds that nobody trains on that."""


def test_every_field_of_a_head_is_walked() -> None:
    """A new field must say here with which values it is tried."""
    assert set(OTHERWISE) | WHICH_FOLDS == {field.name for field in fields(HeadConfig)}


@pytest.mark.parametrize(
    "options", [options for each in OTHERWISE.values() for options in each], ids=lambda each: " ".join(map(str, each.items()))
)
def test_no_field_lets_the_test_session_decide_what_is_learned(
    make_cache: CacheMaker, tmp_path: Path, options: dict[str, Any]
) -> None:
    check_independent(make_cache, tmp_path, replace(TINY, **{"seeds": (0,), "max_epochs": 2, **options}))


@pytest.mark.parametrize(
    "name", sorted({field.name for field in fields(HeadConfig) if isinstance(field.default, str)} - WHICH_FOLDS)
)
@pytest.mark.parametrize("value", ["test", TEST, "none-of-these"])
def test_no_field_that_names_something_takes_the_test_fold(name: str, value: str) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(HeadError, match=f"unknown {name}.* '{value}'.*expected|unknown {name} '{value}', expected"):
        replace(TINY, **options)


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5])
def test_the_validation_part_is_neither_nothing_nor_more_than_the_training_part(share: float) -> None:
    with pytest.raises(HeadError, match=f"validation_share must lie between 0 and 1, got {share}"):
        replace(TINY, validation_share=share)


@pytest.mark.parametrize("command", ["train-head", "grid"])
def test_no_option_of_a_command_is_more_than_a_field_or_a_matter_of_files_and_printing(command: str) -> None:
    """So that what holds for every field holds for every option."""
    given = {parameter.name for parameter in get_command(app).commands[command].params}  # type: ignore[attr-defined]
    elsewhere = {
        "name",
        "list_presets",
        "cache",
        "corpus",
        "audio_root",
        "encoding",
        "runs",
        "show_layers",
        "as_json",
        "quiet",
        "resume",
        "weights",
        "revision",
        "gradient_checkpointing",
        "backend",
        "workers",
        "shard_rank",
        "shard_world",
        "slurm",
        "ray_address",
        "gpus_per_worker",
        "allow_missing_segments",
    }
    fine_tuned = {field.name for field in fields(FinetuneConfig)} if command == "grid" else set()
    renamed = {
        "granularity": "granularities",
        "ram": "ram_gib",
        "device_memory": "device_memory_gib",
        "head_option": "head_options",
    }
    assert {renamed.get(name, name) for name in given - elsewhere} <= set(OTHERWISE) | WHICH_FOLDS | fine_tuned
    assert {"folds", "validation", "max_epochs"} <= given


def test_a_grid_file_knows_the_fields_and_nothing_else() -> None:
    options = HEAD_GRIDS.options
    assert {options.field(option) for option in options.names()} == set(OTHERWISE) | WHICH_FOLDS
