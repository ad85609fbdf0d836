"""Published figures beside runs that no grid has named."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.commands.report_papers import CLASSES, beside_papers, with_known_figures
from mer.report import ReportedRun, find_runs, group_runs

run = CliRunner().invoke
Make = Callable[..., Path]


@pytest.fixture
def iemocap(two_runs: Path) -> list[ReportedRun]:
    """The small runs, as if of IEMOCAP's four classes."""
    return [replace(run, corpus="iemocap", synthetic=False, classes=CLASSES) for run in find_runs((two_runs,))]


def figures(runs: list[ReportedRun]) -> dict[str, tuple[Mapping[str, float], str]]:
    found, _ = with_known_figures(runs)
    return {run.name: (dict(run.published), run.paper) for run in found}


def test_a_run_gets_the_figure_of_the_row_with_its_head_and_granularities(iemocap: list[ReportedRun]) -> None:
    # Typed off the papers: Zhao 2022, table 2, late F, and table 1, linear on text.
    assert figures(iemocap) == {
        "late F+T": ({"ua": 74.88}, "Zhao 2022, table 2"),
        "linear T": ({"ua": 68.12}, "Zhao 2022, table 1"),
    }
    _, remarks = with_known_figures(iemocap)
    assert remarks == ["published figures, by head and granularities: Zhao 2022, table 2; Zhao 2022, table 1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"corpus": "tiny"},
        {"synthetic": True},
        {"synthetic": None},
        {"classes": ("angry", "sad")},
        {"config": {"fusion": "late", "folds": ["1"]}},
        {"config": {"fusion": "late", "text_disjoint": True}},
        {"config": {"fusion": "late", "layers": [12]}},
        {"config": {"fusion": "late", "classes": "4-noexc"}},
        {"config": {"fusion": "linear"}},
        {"config": {"fusion": "multi-level"}},
    ],
)
def test_a_run_that_a_paper_does_not_have_gets_none(iemocap: list[ReportedRun], changes: dict[str, Any]) -> None:
    assert figures([replace(iemocap[0], **changes)]) == {"late F+T": ({}, "")}


def test_a_run_on_iemocap_without_a_figure_is_named(iemocap: list[ReportedRun]) -> None:
    odd = replace(iemocap[0], config={"fusion": "transformer"})
    assert with_known_figures([odd, iemocap[1]])[1][-1] == "no published figure is known for late F+T"
    assert with_known_figures([replace(odd, corpus="tiny")])[1] == []


def test_what_a_grid_says_is_kept(iemocap: list[ReportedRun]) -> None:
    named = replace(iemocap[0], published={"ua": 1.0}, paper="Nobody 2000")
    assert figures([named]) == {"late F+T": ({"ua": 1.0}, "Nobody 2000")}
    assert with_known_figures([named])[1] == []


@pytest.mark.parametrize(
    ("config", "known"),
    [
        ({"aux": "1+2", "fusion": "ca", "fusion_layers": 2, "modality": "both"}, {"ua": 79.71, "wa": 78.42}),
        ({"aux": "none", "fusion": "ca", "fusion_layers": 1, "modality": "both"}, {"ua": 78.47, "wa": 77.19}),
        ({"aux": "1", "fusion": "ca", "fusion_layers": 1, "modality": "both"}, {}),
        ({"aux": "none", "fusion": "fc", "fusion_layers": 1, "modality": "both"}, {}),
        ({"aux": "none", "fusion": "ca", "fusion_layers": 1, "modality": "text"}, {}),
    ],
)
def test_a_fine_tuned_model_is_told_by_its_fusion_and_tasks(
    iemocap: list[ReportedRun], config: dict[str, Any], known: dict[str, float]
) -> None:
    # Typed off Sun 2023, tables 1 and 2; cells that our copy does not show are unknown.
    assert figures([replace(iemocap[0], config=config)])["late F+T"][0] == known


def test_the_difference_is_of_the_mean_and_its_noise_of_the_seeds(iemocap: list[ReportedRun]) -> None:
    (group,) = group_runs([replace(iemocap[1], published={"ua": 68.12, "wa": 70.0})])
    beside = beside_papers(group)["linear T"]
    # By hand: UA 17/24 with the seeds 19/24 and 15/24; t(0.975, 1) = 12.7062, and sqrt(2/2) = 1. WA is 3/4 for both seeds.
    assert beside["ua"]["difference"] == pytest.approx(17 / 24 - 0.6812)
    assert beside["ua"]["noise"] == pytest.approx(12.7062 * (4 / 24) / 2**0.5, rel=1e-5)
    assert beside["wa"]["difference"] == pytest.approx(0.05)
    assert beside["wa"]["noise"] == pytest.approx(0)


def test_the_command_says_which_papers_it_took(tmp_path: Path, make_run: Make) -> None:
    folder = make_run(tmp_path / "iemocap-linear-T-1", {("1", 0): "aass", ("2", 0): "aass"}, corpus="iemocap")
    done = run(app, ["report", str(folder)])
    assert done.exit_code == 0, done.output
    assert "no published figure is known for linear T" in done.stderr
    result = json.loads((folder / "result.json").read_text())
    predictions = (folder / "predictions.csv").read_text().splitlines()
    rows = [predictions[0] + ",happy,neutral", *(f"{line},0.000000,0.000000" for line in predictions[1:])]
    (folder / "predictions.csv").write_text("\n".join(rows))
    result["summary"]["classes"] = ["angry", "sad", "happy", "neutral"]
    (folder / "result.json").write_text(json.dumps(result))
    done = run(app, ["report", str(folder), "--format", "csv"])
    assert done.exit_code == 0, done.output
    assert "published figures, by head and granularities: Zhao 2022, table 1" in done.stderr
    assert ",68.12," in done.stdout
