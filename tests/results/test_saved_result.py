"""`mer.results.load`: what a result has for Python, and that a damaged one is one error."""

import csv
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import balanced_accuracy_score, f1_score

import mer.results
from mer.protocol import METRICS, STATISTICS, ClassMap, summarise
from mer.results import RatingRow, ResultError
from mer.results.file_hashes import hashes_below, seal
from mer.results.finished_run import FinishedRun
from mer.results.names import run_stem
from mer.results.rated_predictions import read_ratings
from mer.results.result_document import result_values
from mer.results.run_directory import RunDirectory, _rated_predictions

RUNS = Path(__file__).parents[1] / "data" / "results-v1" / "runs"
LATE = next(RUNS.glob("corpus-late-*"))


def test_scores_are_those_of_the_registry_that_the_result_has() -> None:
    found = mer.results.load(str(LATE))
    told = json.loads((LATE / "result.json").read_text())["summary"]["all"]
    assert list(found.scores) == [name for name in METRICS if name in told]
    assert {"ua", "wa"} <= set(found.scores)
    for name, score in found.scores.items():
        assert {each: getattr(score, each) for each in STATISTICS} == told[name]
    assert (found.corpus, found.name, found.classes, found.synthetic) == ("corpus", "late F+S+T", ("ang", "hap", "sad"), False)


def test_predictions_and_logits_are_those_of_every_run_and_give_the_scores_again() -> None:
    found = mer.results.load(LATE)
    with (LATE / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(each.fold, str(each.seed), each.id, each.prediction) for each in found.predictions] == [
        (row["fold"], row["seed"], row["id"], row["prediction"]) for row in rows
    ]
    logits = load_file(LATE / "logits.safetensors")
    assert set(found.logits) == set(found.runs)
    for key, each in found.logits.items():
        np.testing.assert_array_equal(each.logits, logits[run_stem(*key)])
    again = summarise(found.answers, found.classes)
    for name in ("ua", "wa"):
        assert again.all.measures[name].mean_of_folds == pytest.approx(found.scores[name].mean_of_folds, abs=1e-12)
    own = [balanced_accuracy_score(each.truth, each.prediction) for each in found.answers]
    assert found.scores["ua"].mean_of_folds == pytest.approx(np.mean(own))
    f1 = [f1_score(each.truth, each.prediction, average="macro") for each in found.answers]
    assert again.all.measures["macro_f1"].mean_of_folds == pytest.approx(np.mean(f1))


def test_layer_weights_go_by_the_number_of_the_encoders_layer() -> None:
    found = mer.results.load(LATE)
    told = json.loads((LATE / "result.json").read_text())
    assert found.layer_weights.keys() == {"F", "S", "T"}
    for name, weights in found.layer_weights.items():
        assert list(weights) == told["layers"][name] == [1, 2]
        assert list(weights.values()) == told["layer_shares"][name]
    assert mer.results.load(next(RUNS.glob("corpus-finetune-*"))).layer_weights == {}


def test_data_frames_have_a_row_for_each_answer_and_for_each_result() -> None:
    found = mer.results.load(LATE)
    frame = found.frame()
    assert list(frame.columns) == ["fold", "seed", "id", "label", "prediction", "ang", "hap", "sad"]
    assert len(frame) == len(found.predictions)
    assert frame["sad"].tolist() == [each.probabilities[2] for each in found.predictions]
    several = mer.results.frame([found, *map(str, sorted(RUNS.glob("corpus-[cf]*")))])
    assert several["name"].tolist() == ["late F+S+T", "coattention F+T", "CA K=1"]
    assert several["ua"].tolist()[0] == found.scores["ua"].mean_of_folds
    assert several["ua_std_folds"].tolist()[0] == found.scores["ua"].std_folds


def test_reprs_are_short_and_tables_are_escaped() -> None:
    found = mer.results.load(LATE)
    score = f"UA {found.scores['ua'].mean_of_folds:.4f}, WA {found.scores['wa'].mean_of_folds:.4f}"
    assert repr(found).startswith(f"<SavedResult late F+S+T on corpus: {score}")
    assert '<th scope="row">UA</th><td>' in found._repr_html_()


def test_ratings_are_read_as_they_were_written(tmp_path: Path) -> None:
    runs = [
        FinishedRun(
            fold="1", seed=seed, best_epoch=1, epochs=(), ids=("a", "b"), truth=(), logits=((1.5, 2.5), (3.0, seed)),
            layer_shares={}, seconds=0.0, ratings=((1.0, 2.0), (3.0, 4.0)),
        )
        for seed in (0, 1)
    ]  # fmt: skip
    (tmp_path / "predictions.csv").write_text(_rated_predictions(runs, ("valence", "arousal")))
    found = read_ratings(tmp_path / "predictions.csv", ("valence", "arousal"))
    assert found[3] == RatingRow(fold="1", seed=1, id="b", ratings=(3.0, 4.0), predicted=(3.0, 1.0))
    assert len(found) == 4
    with pytest.raises(ResultError, match="expected the columns fold, seed, id, valence, valence_predicted, found"):
        read_ratings(tmp_path / "predictions.csv", ("valence",))
    (tmp_path / "predictions.csv").write_text("fold,seed,id,valence,valence_predicted\n1,0,a,1.0\n")
    with pytest.raises(ResultError, match="line 2: cannot be read"):
        read_ratings(tmp_path / "predictions.csv", ("valence",))


def test_a_result_of_ratings_has_those_and_a_result_of_emotions_has_none(make_rated: Path) -> None:
    found = mer.results.load(make_rated)
    assert found.dimensions == found.classes == ("valence",)
    assert [(each.id, each.ratings, each.predicted) for each in found.ratings] == [("a", (1.0,), (1.5,)), ("b", (3.0,), (2.5,))]
    assert found.scores["ccc"].mean_of_folds == pytest.approx(2 * 0.5 / (1 + 0.25 + 0))  # moments divide by n
    assert found.frame()["valence_predicted"].tolist() == [1.5, 2.5]
    with pytest.raises(ResultError, match="predicts valence and has no logits: see `ratings`"):
        _ = found.logits
    with pytest.raises(ResultError, match="predicts an emotion and no ratings: see `predictions`"):
        _ = mer.results.load(LATE).ratings


@pytest.fixture
def make_rated(tmp_path: Path) -> Path:
    """A result of one run that rates two utterances."""
    run = FinishedRun(
        fold="1", seed=0, best_epoch=0, epochs=(), ids=("a", "b"), truth=(), logits=((1.5,), (2.5,)),
        layer_shares={}, seconds=0.0, ratings=((1.0,), (3.0,)),
    )  # fmt: skip
    document = result_values(
        corpus="tiny", synthetic=False, config={"fusion": "late", "predict": "valence"}, branches=["F"], selection=Chosen(),
        classes=ClassMap(name="valence", classes=("valence",), mapping={}), finished=[run], failed=[], device="cpu",
    )  # fmt: skip
    RunDirectory(tmp_path / "rated", {"config": {"fusion": "late"}}, epoch=_no_epoch).finish([run], ("valence",), document)
    return tmp_path / "rated"


def _no_epoch(**values: Any) -> Any:
    raise AssertionError(values)


@dataclass(frozen=True)
class Chosen:
    ids: tuple[str, ...] = ("a", "b")
    styles: tuple[str, ...] = ("", "")
    left_out: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("place", "message"),
    [("none", "no such folder"), ("", "is no run directory"), ("exported", "is an export"), ("../unfinished", "is not finished")],
)
def test_what_is_no_finished_result_is_said(place: str, message: str) -> None:
    folder = next((RUNS / place).glob("*"), RUNS) if place == "../unfinished" else RUNS.parent / place
    with pytest.raises(ResultError, match=f"{message} \\(no result.json\\); give run directories that are finished"):
        mer.results.load(folder)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(LATE, tmp_path / "run"))


def everything(folder: Path) -> Any:
    found = mer.results.load(folder)
    return found.scores, found.predictions, found.layer_weights, str(found.logits), found.runs, found.corpus, found.classes


def hash_files(folder: Path) -> None:
    """Let a result have what results have now: the hashes of its files."""
    values = json.loads((folder / "result.json").read_text())
    hashes = {name: digest for name, digest in hashes_below(folder, folder).items() if name != "result.json"}
    (folder / "result.json").write_text(json.dumps(seal(values | {"files_sha256": hashes}), indent=2))


def test_a_probability_that_was_edited_is_seen_by_the_hash(copied: Path) -> None:
    hash_files(copied)
    found, file = mer.results.load(copied), copied / "predictions.csv"
    file.write_text(file.read_text().replace("0.364516", "0.364517"))
    with pytest.raises(ResultError, match=r"predictions.csv: damaged or not its own: expected sha256"):
        _ = found.predictions


def test_any_flipped_bit_is_that_error_or_changes_nothing_that_is_read(copied: Path) -> None:
    hash_files(copied)
    expected, random = everything(copied), np.random.default_rng(0)
    refused = 0
    for name in ("result.json", "predictions.csv", "logits.safetensors"):
        image = (copied / name).read_bytes()
        for bit in random.integers(0, 8 * len(image), 40).tolist():
            damaged = bytearray(image)
            damaged[bit // 8] ^= 1 << bit % 8
            (copied / name).write_bytes(bytes(damaged))
            told = None
            try:
                found = str(everything(copied))
            except ResultError as problem:
                told, found = str(problem), str(expected)
            assert found == str(expected)
            assert told is None or str(copied) in told
            refused += told is not None
        (copied / name).write_bytes(image)
    assert refused > 100


@pytest.mark.parametrize(
    "change",
    [
        {"layer_shares": {"F": [1.0]}},
        {"layer_shares": {"P": [0.5, 0.5]}},
        {
            "summary": {
                "classes": ["ang", "hap", "sad"],
                "all": {"ua": {"mean_of_folds": 0.5}, "wa": {"mean_of_folds": 1}, "kappa": 3},
            }
        },
    ],
)
def test_an_older_result_that_was_edited_is_that_error_too(copied: Path, change: dict[str, Any]) -> None:
    values = json.loads((copied / "result.json").read_text())
    values.pop("self_sha256", None)
    (copied / "result.json").write_text(json.dumps(values | change))
    with pytest.raises(ResultError, match=str(copied)):
        mer.results.load(copied)
