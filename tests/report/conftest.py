"""Small run directories, written here from hand-made answers."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CLASSES = ("angry", "sad")
LABELS = {"1": ("angry", "angry", "sad", "sad"), "2": ("angry", "angry", "angry", "sad")}
IDS = {"1": ("u1", "u2", "u3", "u4"), "2": ("u5", "u6", "u7", "u8")}
Answers = Mapping[tuple[str, int], str]
"""(fold, seed) to what was said, a letter an utterance: `aasa`."""

TEXT: Answers = {("1", 0): "aasa", ("1", 1): "asss", ("2", 0): "aass", ("2", 1): "aaaa"}
BOTH: Answers = {("1", 0): "aaas", ("1", 1): "aass", ("2", 0): "aaas", ("2", 1): "aaas"}


def full(letters: str) -> list[str]:
    return [{"a": "angry", "s": "sad"}[letter] for letter in letters]


def ua_and_wa(labels: Sequence[str], said: Sequence[str]) -> tuple[float, float]:
    right = np.array(labels) == np.array(said)
    recalls = [right[np.array(labels) == name].mean() for name in CLASSES if name in labels]
    return float(np.mean(recalls)), float(right.mean())


def measure(answers: Answers, number: int) -> dict[str, Any]:
    one = {cell: ua_and_wa(LABELS[cell[0]], full(said))[number] for cell, said in answers.items()}
    folds, seeds = sorted({fold for fold, _ in one}), sorted({seed for _, seed in one})
    of_fold = [np.mean([value for (fold, _), value in one.items() if fold == each]) for each in folds]
    of_seed = [np.mean([value for (_, seed), value in one.items() if seed == each]) for each in seeds]
    labels = [label for fold in folds for label in LABELS[fold]]
    merged = [ua_and_wa(labels, [said for fold in folds for said in full(answers[fold, seed])])[number] for seed in seeds]
    return {
        "mean_of_folds": float(np.mean(list(one.values()))),
        "merged": float(np.mean(merged)),
        "std_folds": float(np.std(of_fold, ddof=1)) if len(folds) > 1 else None,
        "std_seeds": float(np.std(of_seed, ddof=1)) if len(seeds) > 1 else None,
    }


def result_of(
    answers: Answers, corpus: str, synthetic: bool, config: Mapping[str, Any], classes: Sequence[str]
) -> dict[str, Any]:
    pairs = [
        (label, said) for (fold, _), letters in answers.items() for label, said in zip(LABELS[fold], full(letters), strict=True)
    ]
    confusion = [[pairs.count((label, said)) for said in CLASSES] for label in CLASSES]
    return {
        "format": 1,
        "corpus": corpus,
        "synthetic": synthetic,
        "cache_key": None,
        "config": dict(config),
        "branches": config["granularities"],
        "utterances": {"used": 8, "other_labels": 0, "by_other_label": {}, "failed_extraction": 0},
        "summary": {
            "classes": list(classes),
            "folds": sorted({fold for fold, _ in answers}),
            "seeds": sorted({seed for _, seed in answers}),
            "runs": len(answers),
            "all": {"utterances": 8, "ua": measure(answers, 0), "wa": measure(answers, 1), "absent": []},
            "styles": {},
            "recall": {name: row[place] / sum(row) for place, (name, row) in enumerate(zip(classes, confusion, strict=True))},
            "confusion": confusion,
        },
        "layers": {"F": [1, 2]},
        "layer_shares": {"F": [0.5, 0.5]},
        "runs": [
            {
                "fold": fold,
                "seed": seed,
                "ua": ua_and_wa(LABELS[fold], full(said))[0],
                "wa": ua_and_wa(LABELS[fold], full(said))[1],
                "best_epoch": 2,
                "layer_shares": {"F": [0.4 + 0.1 * seed, 0.6 - 0.1 * seed]},
            }
            for (fold, seed), said in answers.items()
        ],
        "failed_runs": [],
        "device": "cpu",
        "seconds": 1.0,
    }


def epoch(fold: str, seed: int, number: int) -> dict[str, Any]:
    return {
        "fold": fold,
        "seed": seed,
        "epoch": number,
        "train_loss": 1.0 / number,
        "validation_loss": 1.5 / number,
        "validation_ua": 0.5 + 0.1 * number,
        "validation_wa": 0.5,
    }


def write_run(
    folder: Path,
    answers: Answers,
    *,
    fusion: str = "linear",
    branches: Sequence[str] = ("T",),
    corpus: str = "tiny",
    synthetic: bool = False,
    classes: Sequence[str] = CLASSES,
    finished: bool = True,
) -> Path:
    """Write a run directory in the files and formats of `mer train-head`; the probability of what was said is 0.8.

    One that is not finished has ended its first (fold, seed), and trains the others.
    """
    folder.mkdir(parents=True)
    config = {"fusion": fusion, "granularities": list(branches), "hidden": 128}
    (folder / "config.json").write_text(json.dumps({"format": 1, "config": {**config, "branches": list(branches)}}))
    start = {"command": "mer train-head <b>", "device": "cpu", "versions": {"python": "3.11.7"}, "started": 1.0}
    if not finished:
        write_unfinished(folder, list(answers), start)
        return folder
    (folder / "provenance.json").write_text(json.dumps([start]))
    lines = [json.dumps(epoch(fold, seed, number)) for fold, seed in answers for number in (1, 2, 3)]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    with (folder / "predictions.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["fold", "seed", "id", "label", "prediction", *classes])
        for (fold, seed), letters in answers.items():
            for name, label, said in zip(IDS[fold], LABELS[fold], full(letters), strict=True):
                shares = ["0.800000" if each == said else "0.200000" for each in CLASSES]
                named: dict[str, str] = dict(zip(CLASSES, classes, strict=True))
                writer.writerow([fold, seed, name, named[label], named[said], *shares])
    result = result_of(answers, corpus, synthetic, config, classes)
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def write_unfinished(folder: Path, runs: Sequence[tuple[str, int]], start: Mapping[str, Any]) -> None:
    """What a run directory holds while it trains: the first run has ended, of the others there are epochs."""
    for name in ("starts", "finished", "running"):
        (folder / name).mkdir()
    (folder / "starts" / "0a.json").write_text(json.dumps(start))
    (fold, seed), *others = runs
    epochs = [{k: v for k, v in epoch(fold, seed, number).items() if k not in ("fold", "seed")} for number in (1, 2, 3)]
    ended = {"fold": fold, "seed": seed, "best_epoch": 2, "epochs": epochs}
    (folder / "finished" / f"fold{fold}-seed{seed}.json").write_text(json.dumps(ended))
    for fold, seed in others:
        lines = [json.dumps(epoch(fold, seed, number)) + "\n" for number in (1, 2)]
        (folder / "running" / f"fold{fold}-seed{seed}.jsonl").write_text("".join(lines))


@pytest.fixture
def make_run() -> Callable[..., Path]:
    """`write_run`: folder, answers, and what is special."""
    return write_run


@pytest.fixture
def two_runs(tmp_path: Path) -> Path:
    """Folder with a text head and a fused one, whose scores can be worked out by hand."""
    write_run(tmp_path / "runs" / "tiny-linear-T-11111111", TEXT)
    write_run(tmp_path / "runs" / "tiny-late-F+T-22222222", BOTH, fusion="late", branches=("F", "T"))
    return tmp_path / "runs"
