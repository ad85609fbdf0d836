"""What the test session holds changes nothing that is learned, with a validation part and without; and how one goes without."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file
from typer.main import get_command
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import Corpus, Utterance
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.events import RunStarted, StepDone
from mer.finetune.run import Storage, finetune
from mer.predict import load as load_predictor
from mer.results import Result
from mer.results.metrics_log import read_metrics
from mer.settings.option import by_name, options_of
from mer.status.run_status import read_run_status

NarrowConfig = Callable[..., FinetuneConfig]
TEST = "2"
TEXTS = ("i am so happy that you came", "leave me alone", "we lost it all", "the bus leaves at noon")
LABELS = ("ang", "hap", "sad", "neu")
QUICK: dict[str, Any] = {"epochs": 2, "batch": 6, "device": "cpu", "seeds": (0,), "folds": (TEST,), "workers": 0}
NOTHING_HELD_OUT = ({"validation": "none"}, {"validation_share": 0.0}, {"epoch_selection": "last", "validation_share": 0.0})


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Corpus]:
    """Three sessions of noise, and the same with other recordings, texts and labels in the test session."""
    folder = tmp_path_factory.mktemp("noise")
    found = []
    for other in (0, 1):
        utterances = []
        for session in "123":
            for number in range(8):
                changed = other if session == TEST else 0
                random = np.random.default_rng([int(session), number, changed])
                wav = folder / str(changed) / f"s{session}-{number}.wav"
                wav.parent.mkdir(exist_ok=True)
                soundfile.write(wav, random.normal(0.0, 0.1, 1_600 + 400 * number).astype(np.float32), 16_000)
                about: dict[str, Any] = {
                    "text": TEXTS[(number + changed) % 4],
                    "label": LABELS[(number + changed) % 4],
                    "speaker": session + "FM"[number % 2],
                }
                utterances.append(Utterance(id=wav.stem, wav=wav, session=session, **about))
        found.append(Corpus(name="noise", kind="iemocap", synthetic=True, utterances=tuple(utterances)))
    return found[0], found[1]


def train(corpus: Corpus, config: FinetuneConfig, runs: Path, events: list[Any] | None = None) -> Result:
    return finetune(corpus, config, Storage(runs=runs), progress=None if events is None else events.append)


def learned(result: Result) -> tuple[dict[str, np.ndarray], list[Any], int]:
    weights = load_file(result.directory / "weights" / f"fold{TEST}-seed0" / "model.safetensors")
    epochs = [json.loads(line) for line in (result.directory / "metrics.jsonl").read_text().splitlines()]
    (run,) = result.values["runs"]
    return weights, [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in epochs], run["best_epoch"]


@pytest.mark.parametrize(
    "settings",
    [
        {"validation": "none", "modality": "text"},
        {"validation": "none", "aux": "1+2", "batch_seconds": 0.6},
        {"validation": "random", "modality": "text"},
        {"validation": "session", "modality": "text"},
        {"validation": "random", "epoch_selection": "last", "modality": "text"},
    ],
    ids=lambda each: " ".join(map(str, each.values())),
)
def test_what_the_test_session_holds_changes_nothing_that_is_learned(
    settings: dict[str, Any], narrow_config: NarrowConfig, corpora: tuple[Corpus, Corpus], tmp_path: Path
) -> None:
    config = narrow_config(**QUICK | settings)
    results = [train(corpus, config, tmp_path / str(number)) for number, corpus in enumerate(corpora)]
    (weights, epochs, best), (changed, same_epochs, same_best) = map(learned, results)
    assert len(epochs) == 2
    assert (epochs, best) == (same_epochs, same_best)
    assert weights.keys() == changed.keys()
    assert all(np.array_equal(value, changed[name]) for name, value in weights.items())
    logits = [load_file(result.directory / "logits.safetensors")[f"fold{TEST}-seed0"] for result in results]
    assert not np.allclose(logits[0], logits[1])


@pytest.fixture(scope="module")
def without(narrow_config: NarrowConfig, corpora: tuple[Corpus, Corpus], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A result without a validation part, and what was told meanwhile."""
    events: list[Any] = []
    config = narrow_config(aux="1+2", validation="none", **QUICK)
    return train(corpora[0], config, tmp_path_factory.mktemp("runs"), events), events


def test_without_a_validation_part_all_other_sessions_are_trained_on_and_the_last_epoch_is_tested(without: Any) -> None:
    result, events = without
    started = next(event for event in events if isinstance(event, RunStarted))
    assert started.utterances == {"train": 16, "validation": 0, "test": 8}
    _, epochs, best = learned(result)
    assert best == 2
    assert all((each["validation_loss"], each["validation_ua"], each["validation_wa"]) == (None,) * 3 for each in epochs)
    (run,) = result.values["runs"]
    assert run["validation_ua"] is None
    config = result.values["config"]
    assert (config["validation"], config["validation_share"], config["epoch_selection"]) == ("none", 0.0, "last")
    assert result.values["summary"]["all"]["utterances"] == 8
    assert all(event.seconds_left is None or event.seconds_left >= 0 for event in events if isinstance(event, StepDone))


def test_a_result_without_a_validation_part_is_reported_watched_and_predicts(without: Any, tmp_path: Path) -> None:
    result, _ = without
    log = read_metrics(result.directory)
    assert log.pairs.endswith("% of the utterances had no partner for task 2")
    page = tmp_path / "index.html"
    shown = CliRunner().invoke(app, ["report", str(result.directory), "--to", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    for told in (shown.output, page.read_text()):
        assert log.pairs.split(",")[0] in " ".join(told.split())
    for command in (["report", "--watch", str(result.directory)], ["status", str(result.directory.parent)]):
        assert CliRunner().invoke(app, command).exit_code == 0
    assert read_run_status(result.directory, result.directory, 0.0).running == ()
    assert load_predictor(result.directory) is not None


@pytest.mark.parametrize("settings", NOTHING_HELD_OUT, ids=str)
def test_every_way_to_hold_nothing_out_is_the_same_row(settings: dict[str, Any]) -> None:
    config = FinetuneConfig(**settings)
    assert (config.validates, config.chosen_by) == (False, "last")
    assert config.identity() == FinetuneConfig(validation="none").identity()
    assert config.as_dict() == FinetuneConfig(validation="none").as_dict()
    assert config.fingerprint() == FinetuneConfig(validation="none").fingerprint()
    assert config.identity() != FinetuneConfig(epoch_selection="last").identity()


def test_a_validation_part_is_as_before() -> None:
    config = FinetuneConfig()
    assert (config.validates, config.chosen_by) == (True, "validation")
    assert config.identity() == FinetuneConfig(epoch_selection="validation").identity()
    assert {"epoch_selection": "validation", "validation": "random", "validation_share": 0.1}.items() <= config.as_dict().items()
    assert "validation_share" not in FinetuneConfig(validation="session").identity()


@pytest.mark.parametrize(
    "settings", [{"validation": "none"}, {"validation_share": 0.0}, {"validation": "none", "validation_share": 0.2}], ids=str
)
def test_an_epoch_is_not_chosen_by_nothing(settings: dict[str, Any]) -> None:
    with pytest.raises(FinetuneError, match="nothing is held out that could choose an epoch, and the test session never does"):
        FinetuneConfig(epoch_selection="validation", **settings)


@pytest.mark.parametrize("name", [field.name for field in fields(FinetuneConfig) if isinstance(field.default, str)])
def test_no_field_that_names_a_rule_takes_the_test_fold(name: str) -> None:
    if name in ("speech_model", "text_model", "device", "leave_out"):
        return
    given: dict[str, Any] = {name: "test"}
    with pytest.raises(FinetuneError, match=r"unknown .* 'test'.*: expected one of"):
        replace(FinetuneConfig(), **given)


def test_no_option_is_more_than_a_field_or_a_matter_of_files_and_printing() -> None:
    given = {parameter.name for parameter in get_command(app).commands["finetune"].params}  # type: ignore[attr-defined]
    elsewhere = {
        "corpus",
        "audio_root",
        "encoding",
        "texts",
        "runs",
        "session",
        "revision",
        "resume",
        "weights",
        "as_json",
        "quiet",
    }
    assert given - elsewhere <= set(by_name(options_of(FinetuneConfig)))
    assert {"validation", "validation_share", "epoch_selection"} <= given
