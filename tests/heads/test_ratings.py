"""Heads that predict valence, arousal and dominance: the loss, the scale, the result, alone and stacked."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.numpy import load_file

from mer.grids.grid import Grid, GridRow
from mer.grids.head_tasks import HeadTasks
from mer.grids.run_grid import run_grid
from mer.heads import HeadConfig, HeadError, train_head, train_multi_level
from mer.heads.kinds import HEADS as KINDS
from mer.heads.kinds import Needs
from mer.heads.rating_loss import concordances, rating_loss
from mer.heads.training.selection import select
from mer.protocol.concordance import concordance
from mer.protocol.dimensions import DIMENSIONS
from mer.protocol.paper_setup import check_setup
from mer.report.errors import ReportError
from mer.report.figure_set import figure_set
from mer.report.grid_table import grid_report
from mer.report.latex_text import latex_table
from mer.report.page import page
from mer.report.page_sources import PageSources
from mer.report.pair import make_pair
from mer.report.report_folder import RATED, gather_facts
from mer.report.results_report import results_report
from mer.report.table_report import table_reports
from mer.report.table_text import csv_table, markdown_table

CacheMaker = Callable[..., Any]
TINY = HeadConfig(
    granularities=("F",),
    hidden=8,
    attention_heads=2,
    attention_layers=1,
    feed_forward_ratio=1,
    learning_rate=0.02,
    batch=16,
    max_epochs=4,
    seeds=(0, 1),
    folds=("1", "2"),
    device="cpu",
    predict="vad",
)


def with_ratings(cache: Any, *, without: tuple[int, ...] = ()) -> Any:
    """Valence and dominance follow the class, arousal the speaker and noise; utterances `without` have no label either."""
    random = np.random.default_rng(3)
    table = cache.utterances
    table.more = []
    for row, label in enumerate(table.labels):
        number = ("ang", "hap", "sad", "neu").index(label)
        rated = [1.5 + number, 2.0 + row % 2 + random.random(), 10.0 - 2 * number + random.random()]
        table.more.append({} if row in without else {"attributes": rated})
    return cache


def ccc_reference(truth: np.ndarray, said: np.ndarray) -> float:
    """rho sigma_t sigma_s 2 / (sigma_t^2 + sigma_s^2 + (mu_t - mu_s)^2), Lin 1989, from numpy's correlation."""
    rho = np.corrcoef(truth, said)[0, 1]
    spread = np.std(truth) * np.std(said)
    return float(2 * rho * spread / (np.var(truth) + np.var(said) + (np.mean(truth) - np.mean(said)) ** 2))


def test_ccc_is_lins_in_numpy_and_in_torch() -> None:
    random = np.random.default_rng(0)
    for size in (2, 3, 40):
        truth, said = random.normal(3, 1, (size, 3)), random.normal(2, 2, (size, 3))
        expected = [ccc_reference(truth[:, each], said[:, each]) for each in range(3)]
        np.testing.assert_allclose([concordance(truth[:, each], said[:, each]) for each in range(3)], expected, rtol=1e-10)
        found: Any = concordances(torch.from_numpy(said), torch.from_numpy(truth))
        np.testing.assert_allclose(found, expected, rtol=1e-10)
    same = random.normal(size=9)
    assert concordance(same, same) == pytest.approx(1)
    assert concordance(same, -same + 2 * same.mean()) == pytest.approx(-1)
    assert concordance(np.ones(3), np.full(3, 2.0)) == concordance(np.ones(3), np.ones(3)) == 0


@pytest.mark.parametrize("kind", ["ccc", "mse"])
def test_the_loss_of_a_step_is_its_formula_and_the_scale_is_that_of_the_training_part(kind: str) -> None:
    random = np.random.default_rng(1)
    ratings, train = random.normal(4, 2, (30, 2)), np.arange(20)
    loss = rating_loss(kind, ratings, train, ("valence", "arousal"), torch.device("cpu"))
    np.testing.assert_allclose(loss.mean, ratings[:20].mean(0), rtol=1e-15)
    np.testing.assert_allclose(loss.std, ratings[:20].std(0), rtol=1e-15)
    rows, outputs = np.array([3, 25, 7, 9]), random.normal(size=(4, 2))
    scaled = (ratings[rows] - ratings[:20].mean(0)) / ratings[:20].std(0)
    expected = {
        "ccc": 1 - np.mean([ccc_reference(scaled[:, each], outputs[:, each]) for each in range(2)]),
        "mse": np.mean((scaled - outputs) ** 2),
    }[kind]
    assert float(loss.each(rows, torch.from_numpy(outputs)).sum()) == pytest.approx(4 * expected, rel=1e-6)
    np.testing.assert_allclose(loss.ratings(torch.from_numpy(outputs)), outputs * loss.std + loss.mean, rtol=1e-15)
    alone = torch.zeros(1, 2, requires_grad=True)
    loss.each(np.array([3]), alone).sum().backward()
    assert alone.grad is not None
    assert alone.grad.isfinite().all()


def test_ratings_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(HeadError, match="all 2 training utterances have the same arousal"):
        rating_loss("ccc", np.array([[1.0, 2.0], [2.0, 2.0]]), np.arange(2), ("valence", "arousal"), torch.device("cpu"))


@pytest.mark.parametrize("fusion", sorted(KINDS))
def test_every_head_predicts_ratings_and_alone_is_stacked(make_cache: CacheMaker, tmp_path: Path, fusion: str) -> None:
    cache = with_ratings(make_cache(each=8))
    modality = "speech" if KINDS[fusion].needs is Needs.ONE else "both"
    config = replace(TINY, fusion=fusion, modality=modality, seeds=(0,), max_epochs=2)
    alone, stacked = (train_head(cache, replace(config, stack=stack), tmp_path / str(stack)) for stack in (1, 2))
    one, two = (load_file(each.directory / "logits.safetensors") for each in (alone, stacked))
    assert len(one) == 2
    for name, value in one.items():
        assert value.shape == (8, 3)
        np.testing.assert_allclose(two[name], value, rtol=1e-3, atol=1e-3)


def test_the_result_has_the_ccc_of_every_dimension_with_its_spreads(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = with_ratings(make_cache(signal=4.0), without=(0, 20))
    result = train_head(cache, replace(TINY, max_epochs=12), tmp_path)
    values = json.loads((result.directory / "result.json").read_text())
    said = load_file(result.directory / "logits.safetensors")
    with (result.directory / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["fold", "seed", "id", *(f"{name}{each}" for name in DIMENSIONS for each in ("", "_predicted"))]
    assert len(rows) == 2 * 2 * 15
    found: dict[tuple[str, str, str], float] = {}
    for fold in "12":
        for seed in "01":
            mine = [row for row in rows if (row["fold"], row["seed"]) == (fold, seed)]
            predicted = said[f"fold{fold}-seed{seed}"]
            for number, name in enumerate(DIMENSIONS):
                truth = np.array([cache.utterances.more[int(row["id"][-3:])]["attributes"][number] for row in mine])
                np.testing.assert_allclose([float(row[name]) for row in mine], truth, atol=1e-6)
                np.testing.assert_allclose([float(row[f"{name}_predicted"]) for row in mine], predicted[:, number], atol=1e-6)
                found[name, fold, seed] = ccc_reference(truth, predicted[:, number])
    scores = values["summary"]["all"]
    for name in DIMENSIONS:
        own = {key: value for key, value in found.items() if key[0] == name}
        folds = [np.mean([value for (_, f, _), value in own.items() if f == fold]) for fold in "12"]
        seeds = [np.mean([value for (_, _, s), value in own.items() if s == seed]) for seed in "01"]
        score = scores[f"ccc_{name}"]
        np.testing.assert_allclose(score["mean_of_folds"], np.mean(list(own.values())), rtol=1e-9)
        np.testing.assert_allclose([score["std_folds"], score["std_seeds"]], [np.std(folds, ddof=1), np.std(seeds, ddof=1)])
        assert score["merged"] is not None
    means = [scores[f"ccc_{name}"]["mean_of_folds"] for name in DIMENSIONS]
    np.testing.assert_allclose(scores["ccc"]["mean_of_folds"], np.mean(means), rtol=1e-12)
    assert scores["ccc_valence"]["mean_of_folds"] > 0.4
    assert sorted(values["summary"]["styles"]) == ["improvised", "scripted"]
    assert "ua" not in scores
    assert values["utterances"]["unrated"] == 2
    assert values["notes"] == ["2 utterances are not rated (valence, arousal, dominance) and take no part"]
    lines = [json.loads(line) for line in (result.directory / "metrics.jsonl").read_text().splitlines()]
    for run in values["runs"]:
        cccs = [line["validation_ccc"] for line in lines if (line["fold"], line["seed"]) == (run["fold"], run["seed"])]
        assert run["best_epoch"] == 1 + int(np.argmax(cccs))


def test_one_dimension_alone_and_columns_of_a_manifest(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = with_ratings(make_cache())
    config = replace(TINY, predict="arousal", seeds=(0,), folds=("1",))
    whole, _ = select(cache, config)
    cache.utterances.more = [
        {"columns": {"activation": str(each["attributes"][1]) if row != 5 else "-"}}
        for row, each in enumerate(cache.utterances.more)
    ]
    found, classes = select(cache, config)
    assert classes.classes == ("arousal",)
    assert found.unrated == 1
    assert found.ratings is not None
    assert whole.ratings is not None
    np.testing.assert_array_equal(found.ratings, np.delete(whole.ratings, 5, 0))
    scores = train_head(cache, config, tmp_path).values["summary"]["all"]
    assert [name for name in scores if name.startswith("ccc")] == ["ccc", "ccc_arousal"]


def test_runs_that_were_interrupted_are_read_back(make_cache: CacheMaker, tmp_path: Path) -> None:
    class Interrupted(Exception):  # noqa: N818
        pass

    def stop(event: Any) -> None:
        if type(event).__name__ == "RunDone" and event.over == 2:
            raise Interrupted

    cache = with_ratings(make_cache())
    with pytest.raises(Interrupted):
        train_head(cache, replace(TINY, stack=1), tmp_path / "stopped", progress=stop)
    whole = train_head(cache, replace(TINY, stack=1), tmp_path / "whole")
    resumed = train_head(cache, replace(TINY, stack=1), tmp_path / "stopped")
    for name in ("predictions.csv", "metrics.jsonl", "logits.safetensors"):
        assert (resumed.directory / name).read_bytes() == (whole.directory / name).read_bytes()


def test_what_cannot_be_predicted_is_refused(make_cache: CacheMaker, tmp_path: Path) -> None:
    with pytest.raises(HeadError, match=r"no utterance of the cache has valence, arousal, dominance: IEMOCAP and MSP-Podcast"):
        select(make_cache(), TINY)
    early, late = replace(TINY, fusion="coattention"), replace(TINY)
    with pytest.raises(HeadError, match="it is of emotions, got predict vad and vad"):
        train_multi_level(with_ratings(make_cache()), early, late, tmp_path)


def test_tables_page_and_figures_show_ccc_in_place_of_ua(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = with_ratings(make_cache(), without=(7,))
    runs = [train_head(cache, replace(TINY, hidden=hidden, max_epochs=2), tmp_path / "runs") for hidden in (4, 8)]
    assert [report.group.runs[0].name for report in table_reports([runs[0].directory])[0]] == ["late F+T"]
    reports, _ = table_reports([each.directory for each in runs])
    (report,) = reports
    assert report.group.title == "planted, valence, arousal, dominance"
    scores = [each.values["summary"]["all"] for each in runs]
    lines = list(csv.DictReader(csv_table(report.table).splitlines()))
    assert not {"ua", "vote_agreement"} & set(lines[0])
    for line, score in zip(lines, scores, strict=True):
        for name in ("ccc", *(f"ccc_{each}" for each in DIMENSIONS)):
            for key, statistic in (("", "mean_of_folds"), *((f"_{each}", each) for each in ("std_folds", "std_seeds", "merged"))):
                assert float(line[name + key]) == pytest.approx(100 * score[name][statistic], abs=1e-7)
    whole = page(report.group, report.table, [], {}, version="0")
    for text in (markdown_table(report.table), latex_table(report.table, wide=True), whole):
        for score in scores:
            for name in ("ccc", *(f"ccc_{each}" for each in DIMENSIONS)):
                assert f"{100 * abs(score[name]['mean_of_folds']):.2f}" in text
                assert f"{100 * score[name]['std_seeds']:.2f}" in text
        assert "CCC valence" in text
        assert "UA" not in text.partition("<script")[0].replace("UAR", "")
    console = Console(file=io.StringIO(), width=80)
    console.print(results_report([{"directory": str(runs[0].directory), **runs[0].values}]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"{100 * scores[0]['ccc_dominance']['std_folds']:.2f}" in shown
    assert "1 that are not rated" in " ".join(shown.split())
    assert [each.name for each in figure_set(report.group, {})] == ["ccc-by-head", "layer-weights", "learning-curves"]
    sources = PageSources(corpus=tmp_path, named=False, cache=tmp_path)
    assert gather_facts(report.group, tmp_path, sources, quiet=True) == ({}, [RATED])
    assert set(report.not_compared.values()) == {"ratings are shown side by side, without a test of their difference"}
    with pytest.raises(ReportError, match="predicts valence, arousal, dominance; --compare is of classes"):
        make_pair(report.group.runs[0], report.group.runs[1], {})


def test_a_grid_may_hold_rows_of_ratings_beside_rows_of_emotions(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = with_ratings(make_cache())
    plain = replace(TINY, seeds=(0,), max_epochs=1)
    configs = {
        "ratings": plain,
        "emotions": replace(plain, predict="emotion"),
        "wider": replace(plain, predict="emotion", hidden=9),
    }
    rows = tuple(GridRow(name=name, configs=(config,)) for name, config in configs.items())
    found = run_grid(Grid(name="both", title="Both", rows=rows), HeadTasks(cache, tmp_path))
    assert not found.failed
    values = {**found.values, "directory": str(found.directory)}
    assert values["not_compared"] == {"ratings": "it predicts ratings, whose differences are not tested"}
    console = Console(file=io.StringIO(), width=120)
    console.print(grid_report(values))
    assert "CCC" in console.file.getvalue()  # type: ignore[attr-defined]


def test_no_figure_of_a_paper_stands_beside_ratings_or_votes() -> None:
    emotion = replace(TINY, predict="emotion")
    for config, differs in ((TINY, ("predict",)), (replace(emotion, targets="soft"), ("targets",))):
        assert check_setup({}, {}, [config.identity()]).differs == differs
    assert check_setup({}, {}, [emotion.identity()]).fits


def test_identities_of_before_do_not_know_of_ratings() -> None:
    emotion = replace(TINY, predict="emotion").identity()
    assert {"predict", "rating_loss"} & set(emotion) == set()
    assert {"classes", "targets", "loss"} & set(TINY.identity()) == set()
    assert replace(TINY, classes="6").fingerprint() == TINY.fingerprint()
