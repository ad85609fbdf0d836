"""A head that was trained on ratings answers with them: as training wrote them, from its run directory and from an export."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import open_corpus
from mer.predict import PredictError, Predictor, Rating, export_run, load
from mer.predict.evaluation import ask

DIMENSIONS = ("valence", "arousal", "dominance")
Loader = Callable[..., Predictor]


def test_ratings_are_those_that_training_wrote_also_from_an_export(
    trained: Any, loaded: Loader, written_logits: Callable[..., Any], tmp_path: Path
) -> None:
    exported = export_run(
        trained.runs["ratings"], tmp_path / "exported", speech_model=str(trained.speech), text_model=str(trained.text)
    ).folder
    corpus = open_corpus(trained.corpus)
    for predictor in (loaded("ratings"), load(exported, device="cpu")):
        assert predictor.dimensions == predictor.classes == DIMENSIONS
        found = {each.id: each for each in predictor.rate_many(corpus.utterances) if isinstance(each, Rating)}
        for run, (utterances, written) in written_logits("ratings").items():
            now = np.array([found[each.id].runs[run] for each in utterances])
            np.testing.assert_allclose(now, written, rtol=1e-3, atol=1e-3)
            assert float(np.ptp(now, axis=0).max()) > 3e-3
        one = next(iter(found.values()))
        each = np.array(list(one.runs.values()))
        np.testing.assert_allclose(list(one.ratings.values()), each.mean(0), rtol=1e-12)
        np.testing.assert_allclose([*map(float, np.array(list(one.deviations.values())))], each.std(0, ddof=1), rtol=1e-12)
    card = (exported / "README.md").read_text()
    scores = json.loads((trained.runs["ratings"] / "result.json").read_text())["summary"]["all"]
    for shown in ("Ratings of one spoken utterance", f"| CCC arousal | {100 * scores['ccc_arousal']['mean_of_folds']:.2f} |"):
        assert shown in card
    assert not [word for word in ("UA", "Recall", "recall", "robabilities", "labels") if word in card]


def test_the_command_prints_and_writes_ratings(trained: Any, tmp_path: Path) -> None:
    given = ["predict", str(trained.runs["ratings"]), str(trained.corpus), "--csv", str(tmp_path / "said.csv"), "--fold", "1"]
    given += ["--speech-model", str(trained.speech), "--text-model", str(trained.text), "--device", "cpu"]
    made = CliRunner().invoke(app, [*given, "--json", "--quiet"])
    assert made.exit_code == 0, made.output
    answers = json.loads(made.stdout)["predictions"]
    with (tmp_path / "said.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", *DIMENSIONS, *(f"{name}_std" for name in DIMENSIONS), "notes"]
    for row, answer in zip(rows, answers, strict=True):
        for name in DIMENSIONS:
            assert float(row[name]) == pytest.approx(answer["ratings"][name], abs=1e-6)
            assert float(row[f"{name}_std"]) == pytest.approx(answer["deviations"][name], abs=1e-6)
    shown = CliRunner().invoke(app, [*given, "--quiet"], env={"COLUMNS": "120"}).stdout
    assert f"{answers[0]['ratings']['valence']:.2f} ±{answers[0]['deviations']['valence']:.2f}" in shown
    assert "In the unit of the training corpus, mean over 2 runs" in shown


def test_ratings_and_emotions_are_not_taken_for_each_other(trained: Any, loaded: Loader) -> None:
    corpus = open_corpus(trained.corpus)
    with pytest.raises(PredictError, match="answers with valence, arousal, dominance, not with an emotion: use `rate`"):
        loaded("ratings").predict_many(corpus.utterances[:1])
    with pytest.raises(PredictError, match="answers with an emotion, not with ratings: use `predict`"):
        loaded("text").rate_many(corpus.utterances[:1])
    with pytest.raises(PredictError, match="only emotions are scored on another corpus"):
        ask(corpus, trained.runs["ratings"], DIMENSIONS, None)


def test_scores_of_parts_refuse_ratings_by_name(trained: Any) -> None:
    words = ["report", str(trained.runs["ratings"]), "--by", "speaker", "--corpus", str(trained.corpus), "--quiet"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "predicts ratings, whose parts are not scored; leave it out" in " ".join(done.stderr.split())
