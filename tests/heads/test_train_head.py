import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from mer.backends.device import DeviceError
from mer.heads import EpochDone, Event, HeadConfig, HeadError, RunDone, StatisticsProgress, TrainingStarted, train_head
from mer.heads.training.trained_run import Epoch
from mer.protocol import ProtocolError
from mer.results.errors import ResultError
from mer.results.run_directory import RunDirectory

CONFIG = HeadConfig(granularities=("F",), hidden=8, max_epochs=3, learning_rate=0.02, batch=8, seeds=(0, 1), device="cpu")
CacheMaker = Callable[..., Any]
TIMES = ("seconds", "device", "self_sha256")  # the last is a hash of all values


def files(folder: Path) -> dict[str, bytes]:
    """Content of a run directory, less what holds times."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name not in {"provenance.json", "result.json"}:
            found[str(file.relative_to(folder))] = file.read_bytes()
    return found


def timeless(values: Any) -> dict[str, Any]:
    plain = {key: value for key, value in values.items() if key not in TIMES}
    return {**plain, "runs": [{k: v for k, v in run.items() if k != "seconds"} for run in values["runs"]]}


def test_a_run_directory_holds_everything_that_a_table_needs(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = make_cache()
    cache.utterances.labels[5] = "xxx"
    cache.failed = ("lost",)
    result = train_head(cache, CONFIG, tmp_path, command="mer train-head")
    assert not result.reused
    assert result.directory.parent == tmp_path
    assert result.directory.name.startswith("planted-late-F+T-")
    assert sorted(file.name for file in result.directory.iterdir()) == [
        "config.json",
        "logits.safetensors",
        "metrics.jsonl",
        "predictions.csv",
        "provenance.json",
        "result.json",
        "validation.csv",
        "weights",
    ]
    values = json.loads((result.directory / "result.json").read_text())
    assert values == result.values
    assert values["utterances"] == {"used": 47, "other_labels": 1, "by_other_label": {"xxx": 1}, "failed_extraction": 1}
    assert values["synthetic"] is True
    assert values["summary"]["all"]["utterances"] == 47
    assert values["summary"]["runs"] == len(values["runs"]) == 6
    assert sorted(values["summary"]["styles"]) == ["improvised", "scripted"]
    assert values["layers"] == {"F": [1, 2, 3], "T": [1, 2, 3]}
    np.testing.assert_allclose(sum(values["layer_shares"]["F"]), 1, rtol=1e-6)
    assert values["failed_runs"] == []
    (start,) = json.loads((result.directory / "provenance.json").read_text())
    assert start["command"] == "mer train-head"
    assert "torch" in start["versions"]


def test_predictions_are_the_test_utterances_of_each_run_and_agree_with_the_result(
    make_cache: CacheMaker, tmp_path: Path
) -> None:
    cache = make_cache()
    result = train_head(cache, CONFIG, tmp_path)
    rows = list(csv.DictReader((result.directory / "predictions.csv").read_text().splitlines()))
    assert list(rows[0]) == ["fold", "seed", "id", "label", "prediction", "angry", "happy", "sad", "neutral"]
    session = dict(zip(cache.utterances.ids, cache.utterances.sessions, strict=True))
    assert all(session[row["id"]] == row["fold"] for row in rows)
    assert len({(row["id"], row["seed"]) for row in rows}) == len(rows) == 2 * 48
    for row in rows:
        shown = {name: float(row[name]) for name in ("angry", "happy", "sad", "neutral")}
        np.testing.assert_allclose(sum(shown.values()), 1, atol=1e-5)
        assert shown[row["prediction"]] == max(shown.values())
    right = np.mean([row["label"] == row["prediction"] for row in rows])
    np.testing.assert_allclose(right, result.values["summary"]["all"]["wa"]["merged"], rtol=1e-12)


def test_metrics_have_one_line_per_epoch_and_weights_their_statistics(make_cache: CacheMaker, tmp_path: Path) -> None:
    result = train_head(make_cache(), CONFIG, tmp_path)
    lines = [json.loads(line) for line in (result.directory / "metrics.jsonl").read_text().splitlines()]
    assert [(line["fold"], line["seed"], line["epoch"]) for line in lines[:4]] == [
        ("1", 0, 1),
        ("1", 0, 2),
        ("1", 0, 3),
        ("1", 1, 1),
    ]
    weights = load_file(result.directory / "weights" / "fold3-seed1.safetensors")
    assert weights["statistics.F.std"].shape == (3, 8)
    assert "statistics.T.std" not in weights  # the paper normalises speech
    assert weights["branches.F.w1"].shape == (8, 8)
    assert len(list((result.directory / "weights").iterdir())) == 6


@pytest.mark.parametrize("event", ["first epoch", "second run's second epoch", "a finished run", "the last epoch"])
def test_interrupted_and_resumed_equals_uninterrupted(make_cache: CacheMaker, tmp_path: Path, event: str) -> None:
    cache = make_cache()
    whole = train_head(cache, CONFIG, tmp_path / "whole")
    moments = {
        "first epoch": lambda e: isinstance(e, EpochDone),
        "second run's second epoch": lambda e: isinstance(e, EpochDone) and (e.run, e.epoch) == (2, 2),
        "a finished run": lambda e: isinstance(e, RunDone) and e.run == 4,
        "the last epoch": lambda e: isinstance(e, EpochDone) and (e.run, e.epoch) == (6, 3),
    }

    def interrupt(happened: Event) -> None:
        if moments[event](happened):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_head(cache, CONFIG, tmp_path / "parts", progress=interrupt)
    (folder,) = (tmp_path / "parts").iterdir()
    assert not (folder / "result.json").exists()
    trained: list[int] = []
    started: list[int] = []

    def note(happened: Event) -> None:
        if isinstance(happened, TrainingStarted):
            started.append(happened.finished)
            assert not list(folder.glob("running/*"))
            assert len(list(folder.glob("finished/*"))) == happened.finished
        if isinstance(happened, RunDone):
            trained.append(happened.run)

    resumed = train_head(cache, CONFIG, tmp_path / "parts", progress=note)
    assert len(trained) + started[0] == 6
    assert len(set(trained)) == len(trained)
    assert files(resumed.directory) == files(whole.directory)
    assert timeless(resumed.values) == timeless(whole.values)


def test_a_result_that_is_there_is_returned_untouched(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = make_cache()
    first = train_head(cache, CONFIG, tmp_path)
    before = files(first.directory), (first.directory / "result.json").stat().st_mtime_ns
    again = train_head(cache, replace(CONFIG, ram_gib=1.0), tmp_path)
    assert again.reused
    assert again.values == first.values
    assert (files(again.directory), (again.directory / "result.json").stat().st_mtime_ns) == before


def test_a_text_only_head_is_the_same_whichever_speech_granularity_is_named(make_cache: CacheMaker, tmp_path: Path) -> None:
    config = replace(CONFIG, modality="text", fusion="linear", max_epochs=1, seeds=(0,))
    first = train_head(make_cache(), config, tmp_path)
    assert train_head(make_cache(), replace(config, granularities=("W",)), tmp_path).reused
    assert first.directory.name.startswith("planted-linear-T-")


def test_another_config_another_cache_or_other_utterances_go_elsewhere(make_cache: CacheMaker, tmp_path: Path) -> None:
    config = replace(CONFIG, max_epochs=1, seeds=(0,), folds=("1",))
    cache, other_key, fewer = make_cache(), make_cache(), make_cache()
    other_key.key = "fedcba"
    fewer.utterances.labels[3] = "xxx"
    found = {
        train_head(cache, config, tmp_path).directory,
        train_head(cache, replace(config, hidden=4), tmp_path).directory,
        train_head(other_key, config, tmp_path).directory,
        train_head(fewer, config, tmp_path).directory,
    }
    assert len(found) == 4


def test_a_directory_of_another_config_is_refused(make_cache: CacheMaker, tmp_path: Path) -> None:
    config = replace(CONFIG, max_epochs=1, seeds=(0,), folds=("1",))
    result = train_head(make_cache(), config, tmp_path)
    file = result.directory / "config.json"
    file.write_text(file.read_text().replace('"hidden": 8', '"hidden": 9'))
    with pytest.raises(ResultError, match=r"config\.json is not the config of this command"):
        train_head(make_cache(), config, tmp_path)


@pytest.mark.parametrize("moment", [(1, 1), (1, 3), (4, 2), (6, 3)])
def test_two_commands_at_once_end_with_the_same_result(make_cache: CacheMaker, tmp_path: Path, moment: tuple[int, int]) -> None:
    """The second does everything while the first is in the middle of an epoch of some run."""
    alone = train_head(make_cache(), CONFIG, tmp_path / "alone")
    seconds: list[Any] = []

    def again(happened: Event) -> None:
        if isinstance(happened, EpochDone) and (happened.run, happened.epoch) == moment and not seconds:
            seconds.append(train_head(make_cache(), CONFIG, tmp_path / "both"))

    first = train_head(make_cache(), replace(CONFIG, stack=1), tmp_path / "both", progress=again)
    assert seconds[0].directory == first.directory
    assert files(first.directory) == files(alone.directory)
    assert timeless(first.values) == timeless(seconds[0].values)
    assert timeless({**first.values, "config": 0}) == timeless({**alone.values, "config": 0})


def test_epochs_of_a_run_are_told_while_it_trains(make_cache: CacheMaker, tmp_path: Path) -> None:
    seen: dict[int, list[Any]] = {}

    def look(happened: Event) -> None:
        if isinstance(happened, EpochDone):
            (file,) = tmp_path.glob(f"*/running/fold{happened.fold}-seed{happened.seed}.jsonl")
            seen[happened.run] = [json.loads(line) for line in file.read_text().splitlines()]
            assert seen[happened.run][-1]["validation_ua"] == happened.validation_ua

    train_head(make_cache(), CONFIG, tmp_path, progress=look)
    assert {run: [line["epoch"] for line in lines] for run, lines in seen.items()} == {run: [1, 2, 3] for run in range(1, 7)}


def test_starts_of_a_result_are_listed_in_their_order(make_cache: CacheMaker, tmp_path: Path) -> None:
    def stop(happened: Event) -> None:
        if isinstance(happened, RunDone):
            raise KeyboardInterrupt

    for name in ("first", "second"):
        with pytest.raises(KeyboardInterrupt):
            train_head(make_cache(), replace(CONFIG, stack=1), tmp_path, progress=stop, command=name)
    result = train_head(make_cache(), replace(CONFIG, stack=1), tmp_path, command="third")
    starts = json.loads((result.directory / "provenance.json").read_text())
    assert [start["command"] for start in starts] == ["first", "second", "third"]


def test_a_run_that_diverges_fails_alone(make_cache: CacheMaker, tmp_path: Path) -> None:
    """A feature turns into a NaN after the first epoch of the second run."""
    cache = make_cache()
    events: list[Event] = []
    config = replace(CONFIG, seeds=(0,), max_epochs=2, stack=1)

    def poison(event: Event) -> None:
        events.append(event)
        if isinstance(event, EpochDone) and event.run == 2:
            cache.opened["F"].arrays = [np.full_like(array, np.nan) for array in cache.opened["F"].arrays]

    result = train_head(cache, config, tmp_path, progress=poison)
    assert [run["fold"] for run in result.values["runs"]] == ["1"]
    assert [(run["fold"], run["reason"]) for run in result.values["failed_runs"]] == [
        ("2", "fold 2, seed 0, epoch 2, step 1: the loss is nan"),
        ("3", "fold 3, seed 0, epoch 1, step 1: the loss is nan"),
    ]
    lines = (result.directory / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["fold"] for line in lines] == ["1", "1"]
    failures = [event for event in events if isinstance(event, RunDone) and event.failure]
    assert [(event.fold, event.ua, event.best_epoch) for event in failures] == [("2", None, None), ("3", None, None)]


def test_when_every_run_fails_there_is_no_result(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = make_cache()
    cache.units["F"][3] = np.full_like(cache.units["F"][3], np.nan)
    config = replace(CONFIG, seeds=(0,), normalize="none", max_epochs=1)
    with pytest.raises(HeadError, match=r"no run ended with a number; first: fold 1, seed 0: the logits of \d test"):
        train_head(cache, config, tmp_path)
    (folder,) = tmp_path.iterdir()
    assert not (folder / "result.json").exists()


def test_progress_tells_what_happens_in_order(make_cache: CacheMaker, tmp_path: Path) -> None:
    events: list[Event] = []
    train_head(make_cache(), replace(CONFIG, seeds=(0,), max_epochs=1, stack=1), tmp_path, progress=events.append)
    assert isinstance(events[0], TrainingStarted)
    assert (events[0].runs, events[0].finished, events[0].stack, events[0].device) == (3, 0, 1, "cpu")
    read = [event for event in events if isinstance(event, StatisticsProgress)]
    assert {event.granularity for event in read if event.done == event.total} == {"F"}
    epochs = [event for event in events if isinstance(event, EpochDone)]
    assert [event.run for event in epochs] == [1, 2, 3]
    assert isinstance(events[-1], RunDone)


def test_folds_and_granularities_that_the_cache_lacks_are_refused_before_anything_is_written(
    make_cache: CacheMaker, tmp_path: Path
) -> None:
    with pytest.raises(ProtocolError, match=r"no session 4, 5 to test on, only 1, 2, 3: extract it first"):
        train_head(make_cache(), replace(CONFIG, folds=("1", "4", "5")), tmp_path)
    with pytest.raises(HeadError, match=r"the cache holds F\+S\+T, not W"):
        train_head(make_cache(), replace(CONFIG, granularities=("F", "W")), tmp_path)
    with pytest.raises(DeviceError, match=r"device 'cuda:97': this machine shows \d+ CUDA devices"):
        train_head(make_cache(), replace(CONFIG, device="cuda:97"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_the_asked_folds_are_trained(make_cache: CacheMaker, tmp_path: Path) -> None:
    result = train_head(make_cache(), replace(CONFIG, folds=("2",), max_epochs=1), tmp_path)
    assert result.values["summary"]["folds"] == ["2"]
    assert result.values["summary"]["all"]["utterances"] == 16


def test_shuffled_labels_give_chance_and_true_ones_do_not(make_cache: CacheMaker, tmp_path: Path) -> None:
    config = replace(CONFIG, max_epochs=6, seeds=(0,), learning_rate=0.05)
    cache, shuffled = make_cache(signal=3.0), make_cache(signal=3.0)
    np.random.default_rng(0).shuffle(shuffled.utterances.labels)
    true = train_head(cache, config, tmp_path).values["summary"]["all"]["ua"]["mean_of_folds"]
    chance = train_head(shuffled, config, tmp_path).values["summary"]["all"]["ua"]["mean_of_folds"]
    assert true > 0.8
    assert abs(chance - 0.25) < 0.1


def test_a_memory_limit_releases_every_batch_and_changes_no_number(make_cache: CacheMaker, tmp_path: Path) -> None:
    config = replace(CONFIG, seeds=(0,), max_epochs=1)
    cache, limited = make_cache(), make_cache()
    free = train_head(cache, config, tmp_path / "free")
    tight = train_head(limited, replace(config, ram_gib=1e-6), tmp_path / "tight")
    assert cache.opened["F"].released == []
    assert sorted(set(limited.opened["F"].released)) == list(range(48))
    assert 0 < len(set(limited.opened["F"].prefetched)) <= len(set(limited.opened["F"].viewed))
    assert files(free.directory) == files(tight.directory)


def test_an_odd_session_name_makes_a_safe_file_name(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "x", {}, epoch=Epoch)
    assert directory.weights("a/../b c", 3).name == "folda%2f..%2fb%20c-seed3.safetensors"
