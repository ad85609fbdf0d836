import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from accelerate.state import PartialState

from mer.heads import HeadConfig, train_head
from mer.results.names import run_stem
from mer.tests.heads.test_train_head import files, timeless
from mer.tests.tracking.told import Told, told
from mer.tracking import TRACKERS, TrackerKind, TrackingError

ROOT = Path(__file__).parent.parent.parent
CONFIG = HeadConfig(
    granularities=("F",), hidden=8, max_epochs=3, learning_rate=0.02, batch=8, seeds=(0,), folds=("1", "2"), device="cpu"
)
CacheMaker = Callable[..., Any]
EPOCH = ("train_loss", "validation_loss", "validation_ua", "validation_wa")


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def check(found: dict[str, Told], directory: Path, values: Any) -> None:
    """Every number that a tracker was told is that of the result, once; TensorBoard keeps float32."""
    assert set(found) == {*(run_stem(run["fold"], run["seed"]) for run in values["runs"]), "result"}
    for run in values["runs"]:
        each = found[run_stem(run["fold"], run["seed"])]
        epochs = [line for line in lines(directory) if (line["fold"], line["seed"]) == (run["fold"], run["seed"])]
        for name in EPOCH:
            places, drawn = zip(*each.curves[f"epoch/{name}"], strict=True)
            assert list(places) == [line["epoch"] for line in epochs] == [1, 2, 3][: len(epochs)]
            np.testing.assert_allclose(drawn, [line[name] for line in epochs], rtol=1e-7)
        for name in ("ua", "wa"):
            assert len(each.curves[f"test/{name}"]) == 1
            assert each.last(f"test/{name}") == pytest.approx(run[name], rel=1e-7)
        assert each.last("best_epoch") == run["best_epoch"]
        assert each.group == directory.name
        assert str(each.settings["fold"]).strip("'") == run["fold"]
        assert str(each.settings["learning_rate"]) == "0.02"
        assert each.settings["granularities"] == "F"
        assert each.parts <= 2  # a file of TensorBoard beside the curves may have the settings
    for name in ("mean_of_folds", "merged", "std_folds"):
        assert found["result"].last(f"test/ua/{name}") == pytest.approx(values["summary"]["all"]["ua"][name], rel=1e-7)
    assert found["result"].last("runs") == len(values["runs"])


@pytest.mark.parametrize("track", ["tensorboard", "wandb", "mlflow"])
def test_a_tracker_is_told_what_the_result_holds_and_nothing_twice(
    track: str, make_cache: CacheMaker, tmp_path: Path, offline: Path
) -> None:
    cache = make_cache()
    plain = train_head(cache, CONFIG, tmp_path / "plain")
    tracked = train_head(cache, replace(CONFIG, track=track), tmp_path / "runs")
    check(told(track, tracked.directory), tracked.directory, tracked.values)
    again = train_head(cache, replace(CONFIG, track=track), tmp_path / "runs")
    assert again.reused
    check(told(track, tracked.directory), tracked.directory, tracked.values)
    # A result is the same, to the byte, and is called the same.
    assert tracked.directory.name == plain.directory.name
    here = {name: image for name, image in files(tracked.directory).items() if name.split("/")[0] not in ("tracked", track)}
    assert here == files(plain.directory)
    assert timeless(tracked.values) == timeless(plain.values)
    assert PartialState._shared_state == {}, "the next Accelerator would take its device from it"


def test_a_result_of_before_is_tracked_when_somebody_asks_for_it(make_cache: CacheMaker, tmp_path: Path, offline: Path) -> None:
    cache = make_cache()
    before = train_head(cache, CONFIG, tmp_path)
    assert not (before.directory / "tracked").exists()
    result = train_head(cache, replace(CONFIG, track="tensorboard"), tmp_path)
    assert result.reused
    check(told("tensorboard", result.directory), result.directory, result.values)


class Failing(TrackerKind):
    """Another tracker, up to the point where its server is gone."""

    package = "tensorboard"

    def __init__(self, points: int) -> None:
        self.left = points

    def begin(self, about: Any) -> Any:
        return TRACKERS["tensorboard"].begin(about)

    def log(self, tracker: Any, values: Any, axis: str, place: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise ConnectionError("nobody answers")
        super().log(tracker, values, axis, place)


@pytest.mark.parametrize("points", [0, 2, 5, 8])
def test_a_tracker_that_fails_leaves_the_result_whole_and_the_same_command_sends_the_rest(
    points: int, make_cache: CacheMaker, tmp_path: Path, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRACKERS._entries, "failing", Failing(points))
    cache, config = make_cache(), replace(CONFIG, track="failing")
    with pytest.raises(TrackingError, match="the result is whole, and tracking it with failing failed") as raised:
        train_head(cache, config, tmp_path)
    assert raised.value.result is not None
    monkeypatch.setitem(TRACKERS._entries, "failing", Failing(99))
    result = train_head(cache, config, tmp_path)
    assert result.reused
    found = told("tensorboard", result.directory)
    for each in found.values():
        each.parts = 1  # the files of both commands
    check(found, result.directory, result.values)


def test_a_line_of_its_memory_that_a_kill_cut_short_costs_one_point_told_again(
    make_cache: CacheMaker, tmp_path: Path, offline: Path
) -> None:
    cache, config = make_cache(), replace(CONFIG, track="mlflow")
    result = train_head(cache, config, tmp_path)
    memory = result.directory / "tracked" / "mlflow" / "fold1-seed0.jsonl"
    torn = memory.read_text().splitlines()
    memory.write_text("\n".join([*torn[:4], torn[4][:5]]))  # nothing, the id, epochs 1 and 2, the beginning of epoch 3
    train_head(cache, config, tmp_path)
    found = told("mlflow", result.directory)["fold1-seed0"]
    assert [place for place, _ in found.curves["epoch/train_loss"]] == [1, 2, 3, 3]
    assert json.loads(memory.read_text().splitlines()[-1]) == {"over": True}


@pytest.mark.parametrize(
    ("track", "installs"),
    [
        ("tensorboard", 'the package tensorboard is not installed: `pip install "mer-fusion[tensorboard]"`'),
        ("wandb", 'the package wandb is not installed: `pip install "mer-fusion[wandb]"`'),
        ("mlflow", 'the package mlflow is not installed: `pip install "mer-fusion[mlflow]"`'),
    ],
)
def test_a_missing_package_is_refused_before_anything_is_written(
    track: str, installs: str, make_cache: CacheMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer.tracking.tracker_kind.find_spec", lambda name: None)
    with pytest.raises(TrackingError) as raised:
        train_head(make_cache(), replace(CONFIG, track=track), tmp_path)
    assert installs in str(raised.value)
    assert raised.value.result is None
    assert list(tmp_path.iterdir()) == []


def test_who_is_not_known_to_weights_and_biases_is_told_before_the_work(
    calls: list[bytes], make_cache: CacheMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()  # it looks at its settings once in a process
    with pytest.raises(TrackingError, match="nobody is logged in: `wandb login`, or WANDB_MODE=offline"):
        train_head(make_cache(), replace(CONFIG, track="wandb"), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_the_tracker_of_the_documentation_works_as_it_stands(
    make_cache: CacheMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TRACKERS, "_entries", dict(TRACKERS._entries))
    code = re.search(r"```python title=.line_tracker.py.\n(.*?)```", (ROOT / "docs" / "tracking.md").read_text(), re.DOTALL)
    assert code is not None
    exec(code[1], {"__name__": "line_tracker"})
    result = train_head(make_cache(), replace(CONFIG, track="lines"), tmp_path)
    said = [json.loads(line) for line in (result.directory / "lines.jsonl").read_text().splitlines()]
    drawn = [each["epoch/validation_ua"] for each in said if each["run"] == "fold1-seed0" and "epoch/validation_ua" in each]
    assert drawn == [line["validation_ua"] for line in lines(result.directory) if line["fold"] == "1"]
    assert said[-1]["test/ua/merged"] == result.values["summary"]["all"]["ua"]["merged"]


def test_a_server_of_mlflow_that_takes_no_runs_is_told_before_the_work(
    make_cache: CacheMaker, tmp_path: Path, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://here")
    with pytest.raises(TrackingError, match=r"nonsense://here takes no runs .*: give another one as MLFLOW_TRACKING_URI"):
        train_head(make_cache(), replace(CONFIG, track="mlflow"), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
