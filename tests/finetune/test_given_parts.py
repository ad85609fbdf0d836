"""Fine-tuning on the parts that a corpus brings: who trains, who chooses the epoch, who is tested; from table to result."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from mer.cli import app
from mer.finetune import run as module
from mer.finetune.config import FinetuneConfig
from mer.finetune.trainer import train_run
from mer.protocol import Fold

NarrowConfig = Callable[..., FinetuneConfig]
COUNT = 12
QUICK = [
    "--modality",
    "text",
    "--epochs",
    "1",
    "--seeds",
    "2",
    "--batch-seconds",
    "5",
    "--device",
    "cpu",
    "--no-weights",
    "--json",
    "--quiet",
]
SPLIT = ["train"] * 6 + ["dev"] * 2 + ["test1"] * 2 + ["test2"] * 2
FOLDS = {f"fold_{fold}": ["test" if row % 3 == fold - 1 else "train" for row in range(COUNT)] for fold in (1, 2, 3)}


def parts(*words: str) -> dict[str, set[str]]:
    return {part: {f"u{row:02}" for row, word in enumerate(words) if word == part} for part in ("train", "dev", "test")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            {"split": SPLIT},
            {
                name: parts(*SPLIT) | {"test": {f"u{row:02}" for row in rows}}
                for name, rows in (("test1", (8, 9)), ("test2", (10, 11)))
            },
        ),
        (FOLDS, {name.removeprefix("fold_"): parts(*words) for name, words in FOLDS.items()}),
    ],
)
def test_given_parts_train_choose_and_test(
    tmp_path: Path,
    narrow_config: NarrowConfig,
    monkeypatch: pytest.MonkeyPatch,
    columns: dict[str, list[str]],
    expected: dict[str, dict[str, set[str]]],
) -> None:
    rows = []
    for row in range(COUNT):
        noise = np.random.default_rng(row).normal(0.0, 0.1, 1_600 + 50 * row).astype(np.float32)
        soundfile.write(tmp_path / f"{row}.wav", noise, 16_000)
        about = {"id": f"u{row:02}", "wav": f"{row}.wav", "text": "leave me alone", "label": "ab"[row % 2]}
        about |= {"speaker": f"s{row % 4}", "session": "all"}  # one session, in which utterances are in the order of their ids
        rows.append(about | {name: values[row] for name, values in columns.items()})
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    used: dict[tuple[str, int], dict[str, set[str]]] = {}

    def noted(*given: Any, **more: Any) -> Any:
        (fold,) = [each for each in (*given, *more.values()) if isinstance(each, Fold)]
        told = {"train": fold.train, "dev": fold.validation, "test": fold.test}
        used[fold.test_session, len(used)] = {part: {f"u{row:02}" for row in numbers} for part, numbers in told.items()}
        return train_run(*given, **more)

    monkeypatch.setattr(module, "train_run", noted)
    models = ["--speech-model", narrow_config().speech_model, "--text-model", narrow_config().text_model]
    words = ["finetune", "--corpus", str(tmp_path / "own.jsonl"), "--runs", str(tmp_path / "runs"), *models, *QUICK]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    (values,) = json.loads(done.stdout)["results"]
    assert sorted({fold for fold, _ in used}) == sorted(expected)
    assert len(used) == 2 * len(expected) == values["summary"]["runs"]
    for (fold, _), told in used.items():
        assert told["test"] == expected[fold]["test"]
        if expected[fold]["dev"]:
            assert told == expected[fold]  # whatever the seed
        else:  # drawn from the training part
            assert told["train"] | told["dev"] == expected[fold]["train"]
            assert not told["train"] & told["dev"]
    with (Path(values["directory"]) / "predictions.csv").open(newline="") as file:
        answered = [(row["fold"], row["id"]) for row in csv.DictReader(file)]
    assert {fold: {name for own, name in answered if own == fold} for fold in expected} == {
        fold: each["test"] for fold, each in expected.items()
    }
    assert values["leave_out"] == "given"
