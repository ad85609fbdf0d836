"""Published figures beside runs that no grid has named."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.report import ReportedRun, find_runs, group_runs
from mer.report.papers import beside_papers, with_known_figures

run = CliRunner().invoke
Make = Callable[..., Path]


CLASSES = ("angry", "happy", "sad", "neutral")
PAPER: dict[str, Any] = {
    "normalize": "speech",
    "validation": "random",
    "validation_share": 0.1,
    "text_disjoint": False,
    "classes": "4",
    "batch": 32,
    "dropout": 0.2,
    "attention_layers": 3,
    "learning_rate": 1e-3,
}
"""Settings of a head as Zhao 2022 has them."""


def as_in_the_paper(run: ReportedRun, **changes: Any) -> ReportedRun:
    """The small run, as if it had been made as Zhao 2022 made its own; `a__b=value` changes `result["a"]["b"]`."""
    config = {**PAPER, "fusion": run.config["fusion"], "granularities": ["F"], "branches": run.result["branches"]}
    result = json.loads(json.dumps(run.result)) | {"corpus": "iemocap", "synthetic": False, "config": config}
    result["layers"] = {name: list(range(1, 13)) for name in result["branches"]}
    result["features"] = {"speech": {"model": "facebook/wav2vec2-base"}, "text": {"model": "bert-base-uncased"}}
    result["runs"] = [each | {"layer_shares": {}} for each in result["runs"]]
    result["summary"] |= {"classes": list(CLASSES), "folds": list("12345")}
    result["summary"]["all"]["utterances"] = 5531
    for place, value in changes.items():
        *path, last = place.split("__")
        inner = result
        for name in path:
            inner = inner[name]
        inner[last] = value
    asked = {"config": {name: value for name, value in config.items() if name != "granularities"}}
    classes = tuple(result["summary"]["classes"])
    return replace(
        run,
        corpus=result["corpus"],
        synthetic=result["synthetic"],
        classes=classes,
        config=config,
        asked=asked,
        result=result,
    )


@pytest.fixture
def iemocap(two_runs: Path) -> list[ReportedRun]:
    """The small runs, as if of IEMOCAP and made as in the paper."""
    return [as_in_the_paper(run) for run in find_runs((two_runs,))]


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
    ("changes", "said"),
    [
        ({"features__speech__model": "microsoft/wavlm-large"}, "differs in: speech model"),
        ({"features__speech__model": "small-wav2vec2"}, "differs in: speech model"),
        ({"features__speech__model": "someone/wav2vec2-base"}, "differs in: speech model"),
        ({"features__text__model": "roberta-base"}, "differs in: text model"),
        ({"layers__T": [9, 10, 11, 12]}, "differs in: layers"),
        ({"summary__all__utterances": 5530}, "differs in: n"),
        ({"summary__folds": ["1", "2"]}, "differs in: folds"),
        ({"config__normalize": "global"}, "differs in: normalisation"),
        ({"config__normalize": "speaker", "config__validation": "session"}, "differs in: normalisation, validation"),
        ({"config__validation_share": 0.2}, "differs in: validation"),
        ({"config__text_disjoint": True}, "differs in: text-disjoint training"),
        ({"config__classes": "4-noexc"}, "differs in: classes"),
        ({"config__dropout": 0.5, "config__batch": 16}, "differs in: batch, dropout"),
        ({"config__learning_rate": 1e-2}, "differs in: learning rate"),
        ({"config__hidden": 256}, ""),  # the paper gives no width
        ({"features": {}}, "set-up unknown: speech model, text model"),
        ({"layers": {}, "summary__all__utterances": 3}, "differs in: n; set-up unknown: layers"),
        ({"features__speech__model": "wav2vec2-base", "features__text__model": "google-bert/bert-base-uncased"}, ""),
    ],
)
def test_a_figure_stands_only_beside_the_set_up_of_the_paper(two_runs: Path, changes: dict[str, Any], said: str) -> None:
    late = find_runs((two_runs,))[0]
    (found,), _ = with_known_figures([replace(as_in_the_paper(late, **changes), asked={})])
    assert (found.setup, found.paper) == (said, "Zhao 2022, table 2")
    assert dict(found.published) == ({} if said else {"ua": 74.88})


@pytest.mark.parametrize(
    "changes", [{"corpus": "tiny"}, {"synthetic": True}, {"config__fusion": "linear"}, {"config__fusion": "multi-level"}]
)
def test_a_run_that_a_paper_does_not_have_gets_none(two_runs: Path, changes: dict[str, Any]) -> None:
    late = find_runs((two_runs,))[0]
    run = as_in_the_paper(late, **changes)
    run = replace(run, config=run.result["config"])
    assert figures([run]) == {"late F+T": ({}, "")}


def test_text_has_no_speech_encoder_and_no_normalisation_to_differ_in(two_runs: Path) -> None:
    linear = find_runs((two_runs,))[1]
    run = as_in_the_paper(linear, features={"text": {"model": "bert-base-uncased"}}, config__normalize="none")
    (found,), _ = with_known_figures([replace(run, asked={})])
    assert dict(found.published) == {"ua": 68.12}


def test_a_multi_level_run_is_told_by_both_of_its_heads(two_runs: Path) -> None:
    run = as_in_the_paper(find_runs((two_runs,))[0], config__fusion="multi-level", branches=["F", "P", "S", "T"])
    heads = {
        "coattention": {**PAPER, "fusion": "coattention", "branches": ["F", "P", "T"], "learning_rate": 5e-5},
        "late": {**PAPER, "fusion": "late", "branches": ["F", "S", "T"]},
    }
    run = replace(run, config={**run.config, "fusion": "multi-level"}, asked={"config": {"fusion": "multi-level", **heads}})
    (found,), _ = with_known_figures([run])
    assert (dict(found.published), found.paper, found.setup) == ({"ua": 76.31}, "Zhao 2022, table 3", "")
    heads["coattention"]["attention_layers"] = 2
    (found,), _ = with_known_figures([run])
    assert (dict(found.published), found.setup) == ({}, "differs in: attention layers")


def test_a_run_on_iemocap_without_a_figure_is_named(iemocap: list[ReportedRun]) -> None:
    odd = replace(iemocap[0], config={"fusion": "transformer"})
    assert with_known_figures([odd, iemocap[1]])[1][-1] == "no published figure is known for late F+T"
    assert with_known_figures([replace(odd, corpus="tiny")])[1] == []


def test_what_a_grid_says_is_kept(iemocap: list[ReportedRun]) -> None:
    named = replace(iemocap[0], published={"ua": 1.0}, paper="Nobody 2000", setup="")
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
    preset = tomllib.loads((files("mer") / "grids" / "presets" / "sun2023-table1.toml").read_text("utf-8"))
    asked = {**preset.get("defaults", {}), "classes": "4", "text_disjoint": False, "attention_heads": 8, **config}
    result = {**iemocap[0].result} | {"branches": ["speech", "text"], "encoders": iemocap[0].result["features"], "features": {}}
    run = replace(iemocap[0], config=asked, asked={"config": asked}, result=result)
    (found,), _ = with_known_figures([run])
    assert dict(found.published) == known
    if known:
        assert found.paper_seeds == 1
        other = replace(run, asked={"config": {**asked, "attention_heads": 4}})
        assert with_known_figures([other])[0][0].setup == "differs in: attention heads"


def test_the_difference_is_of_the_mean_and_its_noise_of_the_seeds_of_both(iemocap: list[ReportedRun]) -> None:
    (group,) = group_runs([replace(iemocap[1], published={"ua": 68.12, "wa": 70.0}, paper_seeds=5)])
    beside = beside_papers(group)["linear T"]
    # By hand: UA 17/24 with the seeds 19/24 and 15/24; t(0.975, 1) = 12.7062. WA is 3/4 for both seeds.
    assert beside["ua"]["difference"] == pytest.approx(17 / 24 - 0.6812)
    assert beside["ua"]["noise"] == pytest.approx(12.7062 * (4 / 24) / 2**0.5 * (1 / 2 + 1 / 5) ** 0.5, rel=1e-5)
    assert beside["wa"]["difference"] == pytest.approx(0.05)
    assert beside["wa"]["noise"] == pytest.approx(0)


def on_disk(folder: Path, run: ReportedRun) -> Path:
    """The run as files; probabilities of the classes that nobody said are 0."""
    lines = (run.directory / "predictions.csv").read_text().splitlines()
    folder.mkdir(parents=True)
    heading = "fold,seed,id,label,prediction,angry,sad,happy,neutral"
    (folder / "predictions.csv").write_text("\n".join([heading, *(f"{line},0.0,0.0" for line in lines[1:])]))
    result = dict(run.result)
    result["summary"] = result["summary"] | {
        "classes": ["angry", "sad", "happy", "neutral"],
        "recall": {**dict.fromkeys(CLASSES), "angry": 0.5, "sad": 0.5},
        "confusion": [[1] * 4] * 4,
    }
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "config.json").write_text(json.dumps(run.asked))
    return folder


def every_format(folder: Path, to: Path) -> dict[str, str]:
    said = {}
    for name in ("terminal", "markdown", "latex", "csv"):
        done = run(app, ["report", str(folder), "--format", name])
        assert done.exit_code == 0, done.output
        said[name] = done.stdout
    said["json"] = run(app, ["report", str(folder), "--json"]).stdout
    done = run(app, ["report", str(folder), "--to", str(to), "--quiet"])
    assert done.exit_code == 0, done.output
    return said | {file.name: file.read_text() for file in sorted(to.iterdir()) if file.is_file()}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"features__speech__model": "wavlm-large"}, "differs in: speech model"),
        ({"config__normalize": "none"}, "differs in: normalisation"),
        ({"summary__all__utterances": 4000}, "differs in: n"),
    ],
)
def test_without_the_set_up_of_the_paper_no_format_prints_its_figure(
    tmp_path: Path, two_runs: Path, changes: dict[str, Any], said: str
) -> None:
    late = as_in_the_paper(find_runs((two_runs,))[0], **changes)
    asked = {"config": {**late.asked["config"], **{k: v for k, v in late.result["config"].items() if k == "normalize"}}}
    texts = every_format(on_disk(tmp_path / "own" / "iemocap-late-F+T-1", replace(late, asked=asked)), tmp_path / "page")
    assert set(texts) >= {"terminal", "markdown", "latex", "csv", "json", "index.html", "table.csv", "table.md", "table.tex"}
    for name, text in texts.items():
        flat = " ".join(text.split())
        assert not re.search(r"74\.88|0\.748[78]", flat), name
        assert said in flat, name


def test_with_the_set_up_of_the_paper_every_format_prints_its_figure(tmp_path: Path, two_runs: Path) -> None:
    late = as_in_the_paper(find_runs((two_runs,))[0])
    for name, text in every_format(on_disk(tmp_path / "own" / "iemocap-late-F+T-1", late), tmp_path / "page").items():
        assert re.search(r"74\.88|0\.748[78]", text), name
        assert "differs in" not in text, name
