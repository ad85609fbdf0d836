"""What papers have for the runs of a report, and how far ours are from it."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mer.report import ReportedRun, RunGroup

CLASSES = ("angry", "happy", "sad", "neutral")
"""Those of the papers, in any order."""
PROTOCOL: Mapping[str, Any] = {"folds": None, "text_disjoint": False, "layers": None, "classes": "4"}
"""Settings that a run must have to stand beside a paper: all sessions, training data and layers."""
Identity = tuple[object, ...]
"""What tells one row of a paper's table from another."""


def with_known_figures(runs: Sequence["ReportedRun"]) -> tuple[list["ReportedRun"], list[str]]:
    """Give runs on IEMOCAP the figures of the preset's row with the same head and granularities; and say what was done.

    Runs that a grid has named already keep what it says, and other corpora get nothing: no paper has figures of them.
    """
    rows = _published_rows()
    found = [_with_figures(run, rows) for run in runs]
    papers = dict.fromkeys(new.paper for new, old in zip(found, runs, strict=True) if new is not old)
    without = [run.name for run in found if run.corpus == "iemocap" and run.synthetic is False and not run.published]
    notes = [f"published figures, by head and granularities: {'; '.join(papers)}"] if papers else []
    notes += [f"no published figure is known for {', '.join(without)}"] if without else []
    return found, notes


def beside_papers(group: "RunGroup") -> dict[str, dict[str, dict[str, object]]]:
    """Every finished row's difference from the figures that it has: row, then `ua` and `wa`, to `PublishedComparison`."""
    from mer.protocol import against_published

    found = {}
    for run in group.finished:
        summary = run.result["summary"]
        found[run.name] = {
            measure: against_published(
                ours=summary["all"][measure]["mean_of_folds"],
                std_seeds=summary["all"][measure]["std_seeds"],
                seeds=len(summary["seeds"]),
                published=figure / 100,
            ).as_dict()
            for measure, figure in run.published.items()
        }
    return found


def _with_figures(run: "ReportedRun", rows: Mapping[Identity, tuple[Mapping[str, float], str]]) -> "ReportedRun":
    if run.published or run.corpus != "iemocap" or run.synthetic is not False or set(run.classes) != set(CLASSES):
        return run
    if any(run.config.get(name, value) != value for name, value in PROTOCOL.items()):
        return run
    known = rows.get(_identity(run.config, tuple(run.result["branches"])))
    return run if known is None else replace(run, published=dict(known[0]), paper=known[1])


def _published_rows() -> dict[Identity, tuple[Mapping[str, float], str]]:
    """Every row of a preset that has figures; rows that two tables have with other figures are left out."""
    found: dict[Identity, tuple[Mapping[str, float], str]] = {}
    doubtful = set()
    for paper, row in _preset_rows():
        figures = {measure: row[f"published_{measure}"] for measure in ("ua", "wa") if f"published_{measure}" in row}
        # A multi-level row is two trained heads, which its run directory does not name.
        if not figures or row.get("fusion") == "multi-level":
            continue
        identity = _identity(row, _branches(row))
        if found.setdefault(identity, (figures, paper))[0] != figures:
            doubtful.add(identity)
    return {identity: known for identity, known in found.items() if identity not in doubtful}


def _preset_rows() -> Iterator[tuple[str, Mapping[str, Any]]]:
    # As files: importing mer.heads would load torch.
    folder = files("mer") / "heads" / "presets"
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if file.name.endswith(".toml"):
            grid = tomllib.loads(file.read_text("utf-8"))
            for row in grid["rows"]:
                fine_tuned = {"aux": "none"} if grid["grid"].get("kind") == "finetune" else {}
                yield grid["grid"]["paper"], {**fine_tuned, **grid.get("defaults", {}), **row}


def _branches(row: Mapping[str, Any]) -> tuple[str, ...]:
    if "aux" in row:
        return ()
    modality = row.get("modality", "both")
    speech = () if modality == "text" else tuple(row["granularity"].split("+"))
    return speech if modality == "speech" else (*speech, "T")


def _identity(config: Mapping[str, Any], branches: tuple[str, ...]) -> Identity:
    """Of a fine-tuned model modality, fusion, its layers and auxiliary tasks; of a head fusion and granularities."""
    if "aux" in config:
        fusion = config.get("fusion", "ca")
        layers = config.get("fusion_layers", 1) if fusion == "ca" else 0
        return ("finetune", config.get("modality", "both"), fusion, layers, config["aux"])
    return (config.get("fusion"), *branches)
