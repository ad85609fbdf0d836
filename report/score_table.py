"""The rows of a report as plain numbers, whatever they are printed as."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mer.protocol.metrics import METRICS, ROUNDING, STATISTICS, Metric, learned_by, metrics_for, shown_metrics
from mer.report.comparison_table import mark
from mer.report.missing_measures import all_measures
from mer.report.reported_run import ReportedRun
from mer.report.run_group import RunGroup
from mer.report.setup_note import grouped_notes, seeds_of_paper

PAPER_MEASURES = ("ua", "wa")
"""Measures that a grid can have a paper's figure of."""
IN_JSON = {statistic: "_" + statistic.removeprefix("std_") for statistic in STATISTICS} | {"mean_of_folds": ""}
"""What follows a measure's name in JSON."""


@dataclass(frozen=True, kw_only=True)
class PaperScore:
    """What a paper has for a row; shares of 1."""

    published: float
    """The paper's figure."""
    difference: float | None
    """Ours minus the paper's; None where ours is not there yet."""
    noise: float | None
    """Half-width of what two such means differ by when they differ in their seeds only; None where either's seeds say none."""
    seeds: int | None = None
    """Seeds that the paper's figure is the mean of; None where that is not known."""


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One head; shares of 1."""

    name: str
    """Head and granularities."""
    status: str
    """`done` or `unfinished`."""
    part: str = ""
    """The part of the test utterances that it is of; empty for all of them."""
    note: str = ""
    """Why there are no numbers, else empty."""
    utterances: int | None = None
    """Test utterances in all folds."""
    runs: int = 0
    """(fold, seed) that have ended."""
    measures: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Measure to its statistics (`mer.protocol.METRICS`, `STATISTICS`); empty where there is no result."""
    papers: Mapping[str, PaperScore] = field(default_factory=dict)
    """Measure to a paper's figure, where one is known."""
    paper: str = ""
    """Which paper and table has this row; empty where none has."""
    setup: str = ""
    """Why its figures do not stand here: `differs in: speech model, n`; empty where they do, or where no paper has the row."""
    left_out: str = ""
    """What training lost for `--text-disjoint`; empty for other rows."""
    difference: float | None = None
    """UA minus that of the reference row."""
    low: float | None = None
    """Lower end of the difference's 95 % interval."""
    high: float | None = None
    """Upper end."""
    p_holm: float | None = None
    """Paired test against the reference, corrected over the table."""
    mark: str = ""
    """`*` or `**` where the difference is one (docs/statistics.md)."""
    best: bool = False
    """Whether no row has a higher UA, or CCC."""
    learned: str = "labels"
    """What it was trained on: `labels`, `votes` or `ratings`."""

    def share(self, measure: str, statistic: str) -> float | None:
        """One statistic of one measure; None where the result has none."""
        value = self.measures.get(measure, {}).get(statistic)
        # Deviations of equal values, which earlier results have as what rounding left of 0.
        return 0.0 if value is not None and statistic.startswith("std_") and abs(value) < ROUNDING else value

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON: `ua`, `ua_folds`, `ua_seeds`, `ua_merged`, and so on for every measure."""
        left_out = ("measures", "papers", "learned") if self.part else ("measures", "papers", "learned", "part")
        values = {name: value for name, value in asdict(self).items() if name not in left_out}
        shares = {
            measure + IN_JSON[each]: self.share(measure, each) for measure in metrics_for([self.learned]) for each in STATISTICS
        }
        papers = {f"paper_{name}": None if name not in self.papers else asdict(self.papers[name]) for name in PAPER_MEASURES}
        return values | shares | papers


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """A table, before it has a format."""

    title: str = ""
    """Corpus and classes."""
    synthetic: bool = False
    """Whether the speech is synthetic, which has to be said beside every number."""
    reference: str | None = None
    """The row that `difference` is against."""
    chosen: bool = False
    """Whether that row was named beforehand; the best one otherwise, which favours it."""
    papers: tuple[str, ...] = ()
    """Where the figures that are shown stand, and of how many seeds they are: `Zhao 2022, table 1 (mean of 5 seeds)`."""
    rows: tuple[ScoreRow, ...]
    """One per head."""

    @property
    def paper_measures(self) -> tuple[str, ...]:
        """Measures that some row has a paper's figure of."""
        return tuple(name for name in PAPER_MEASURES if any(name in row.papers for row in self.rows))

    @property
    def learned(self) -> frozenset[str]:
        """What its rows were trained on."""
        return frozenset(row.learned for row in self.rows)

    @property
    def shown(self) -> dict[str, Metric]:
        """The measures that tables for people have, less those of dimensions that no row predicts."""
        found = shown_metrics(self.learned)
        had = {name for row in self.rows for name in row.measures}
        return {name: each for name, each in found.items() if each.of_ratings is None or name in had or not had}

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader has to know of single rows: no paper's figure and why, and what training lost."""
        setups = {
            row.name: f"no figure of {row.paper or 'the paper'} beside it, {row.setup}" if row.setup else "" for row in self.rows
        }
        return (*grouped_notes(setups), *grouped_notes({row.name: row.left_out for row in self.rows}))

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {**asdict(self), "rows": [row.as_dict() for row in self.rows]}


def score_table(
    group: RunGroup,
    comparisons: Sequence[Mapping[str, Any]] = (),
    *,
    chosen: bool = False,
    beside: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
) -> ScoreTable:
    """Collect what `result.json` files say.

    Args:
        group: the rows.
        comparisons: `RowComparison.as_dict()` of rows against one reference, where there are several rows.
        chosen: whether that reference was named beforehand.
        beside: row to `ua` and `wa` to `PublishedComparison.as_dict()`, where a paper has a figure.
    """
    compared = {str(each["row"]): each for each in comparisons}
    rows = tuple(_row(run, compared.get(run.name), (beside or {}).get(run.name, {})) for run in group.runs)
    return ScoreTable(
        title=group.title,
        synthetic=group.synthetic,
        reference=str(comparisons[0]["reference"]) if comparisons else None,
        chosen=chosen,
        papers=tuple(dict.fromkeys(_cited(run) for run in group.runs if run.published)),
        rows=with_best(rows),
    )


def with_best(rows: Sequence[ScoreRow]) -> tuple[ScoreRow, ...]:
    """The rows, those of the highest UA, or CCC where no row has a UA, marked as the best."""
    main = next((name for name in METRICS if any(row.share(name, "mean_of_folds") is not None for row in rows)), "")
    shares = [row.share(main, "mean_of_folds") for row in rows]
    best = max((share for share in shares if share is not None), default=None)
    return tuple(replace(row, best=share is not None and share == best) for row, share in zip(rows, shares, strict=True))


def _row(run: ReportedRun, compared: Mapping[str, Any] | None, beside: Mapping[str, Mapping[str, Any]]) -> ScoreRow:
    done, against = run.status == "done", compared or {}
    scores = run.result["summary"]["all"] if done else {}
    return ScoreRow(
        name=run.name,
        status=run.status,
        note="" if done else run.notes[0],
        utterances=scores.get("utterances"),
        runs=run.finished,
        measures=all_measures(scores, run.classes, run.predictions) if done else {},
        papers={name: paper_score(figure, beside.get(name) or {}) for name, figure in run.published.items()},
        paper=run.paper,
        setup=run.setup or "",
        left_out=run.left_out,
        difference=against.get("difference"),
        low=against.get("low"),
        high=against.get("high"),
        p_holm=against.get("p_holm"),
        mark=mark(compared) if compared else "",
        learned=learned_by(run.config),
    )


def paper_score(published: float, compared: Mapping[str, Any]) -> PaperScore:
    """A paper's figure in percent, and `PublishedComparison.as_dict()` where there is a result to compare it with."""
    return PaperScore(
        published=published / 100,
        difference=compared.get("difference"),
        noise=compared.get("noise"),
        seeds=compared.get("paper_seeds"),
    )


def _cited(run: ReportedRun) -> str:
    return f"{run.paper or 'the figures of the grid'} ({seeds_of_paper(run.paper_seeds)})"
