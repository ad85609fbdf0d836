"""The rows of a report as plain numbers, whatever they are printed as."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mer.report.comparison_table import mark
from mer.report.reported_run import ReportedRun
from mer.report.run_group import RunGroup
from mer.report.setup_note import grouped_notes, seeds_of_paper

ROUNDING = 1e-12
"""Deviations below this are 0: no difference of two shares is so small."""


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
    note: str
    """Why there are no numbers, else empty."""
    utterances: int | None
    """Test utterances in all folds."""
    runs: int
    """(fold, seed) that have ended."""
    ua: float | None
    """Mean over folds and seeds."""
    ua_folds: float | None
    """Standard deviation over folds."""
    ua_seeds: float | None
    """Standard deviation over seeds."""
    ua_merged: float | None
    """All folds scored together, mean over seeds."""
    wa: float | None
    """Mean over folds and seeds."""
    wa_folds: float | None
    """Standard deviation of WA over folds."""
    wa_seeds: float | None
    """Standard deviation of WA over seeds."""
    wa_merged: float | None
    """All folds scored together, mean over seeds."""
    paper_ua: PaperScore | None
    """A paper's UA, where one is known."""
    paper_wa: PaperScore | None
    """A paper's WA, where one is known."""
    paper: str
    """Which paper and table has this row; empty where none has."""
    setup: str
    """Why its figures do not stand here: `differs in: speech model, n`; empty where they do, or where no paper has the row."""
    left_out: str
    """What training lost for `--text-disjoint`; empty for other rows."""
    difference: float | None
    """UA minus that of the reference row."""
    low: float | None
    """Lower end of the difference's 95 % interval."""
    high: float | None
    """Upper end."""
    p_holm: float | None
    """Paired test against the reference, corrected over the table."""
    mark: str
    """`*` or `**` where the difference is one (docs/statistics.md)."""
    best: bool
    """Whether no row has a higher UA."""


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """A table, before it has a format."""

    title: str
    """Corpus and classes."""
    synthetic: bool
    """Whether the speech is synthetic, which has to be said beside every number."""
    reference: str | None
    """The row that `difference` is against."""
    chosen: bool
    """Whether that row was named beforehand; the best one otherwise, which favours it."""
    papers: tuple[str, ...]
    """Where the figures that are shown stand, and of how many seeds they are: `Zhao 2022, table 1 (mean of 5 seeds)`."""
    rows: tuple[ScoreRow, ...]
    """One per head."""

    @property
    def published(self) -> bool:
        """Whether any row has a paper's figure beside it."""
        return any(row.paper_ua is not None or row.paper_wa is not None for row in self.rows)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader has to know of single rows: no paper's figure and why, and what training lost."""
        setups = {
            row.name: f"no figure of {row.paper or 'the paper'} beside it, {row.setup}" if row.setup else "" for row in self.rows
        }
        return (*grouped_notes(setups), *grouped_notes({row.name: row.left_out for row in self.rows}))

    @property
    def published_wa(self) -> bool:
        """Whether any row has a paper's WA beside it."""
        return any(row.paper_wa is not None for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows]}


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
    scores = [run.result["summary"]["all"]["ua"]["mean_of_folds"] for run in group.finished]
    best = max(scores, default=None)
    return ScoreTable(
        title=group.title,
        synthetic=group.synthetic,
        reference=str(comparisons[0]["reference"]) if comparisons else None,
        chosen=chosen,
        papers=tuple(dict.fromkeys(_cited(run) for run in group.runs if run.published)),
        rows=tuple(_row(run, compared.get(run.name), best, (beside or {}).get(run.name, {})) for run in group.runs),
    )


def _row(
    run: ReportedRun, compared: Mapping[str, Any] | None, best: float | None, beside: Mapping[str, Mapping[str, Any]]
) -> ScoreRow:
    done = run.status == "done"
    scores = run.result["summary"]["all"] if done else {}
    ua, wa = scores.get("ua", {}), scores.get("wa", {})
    against = compared or {}
    return ScoreRow(
        name=run.name,
        status=run.status,
        note="" if done else run.notes[0],
        utterances=scores.get("utterances"),
        runs=run.finished,
        ua=ua.get("mean_of_folds"),
        ua_folds=_spread(ua.get("std_folds")),
        ua_seeds=_spread(ua.get("std_seeds")),
        ua_merged=ua.get("merged"),
        wa=wa.get("mean_of_folds"),
        wa_folds=_spread(wa.get("std_folds")),
        wa_seeds=_spread(wa.get("std_seeds")),
        wa_merged=wa.get("merged"),
        paper_ua=_paper(run.published.get("ua"), beside.get("ua", {})),
        paper_wa=_paper(run.published.get("wa"), beside.get("wa", {})),
        paper=run.paper,
        setup=run.setup or "",
        left_out=run.left_out,
        difference=against.get("difference"),
        low=against.get("low"),
        high=against.get("high"),
        p_holm=against.get("p_holm"),
        mark=mark(compared) if compared else "",
        best=done and ua.get("mean_of_folds") == best,
    )


def _paper(published: float | None, compared: Mapping[str, Any]) -> PaperScore | None:
    if published is None:
        return None
    return PaperScore(
        published=published / 100,
        difference=compared.get("difference"),
        noise=compared.get("noise"),
        seeds=compared.get("paper_seeds"),
    )


def _spread(deviation: float | None) -> float | None:
    """Deviations of equal values, which earlier results have as what rounding left of 0."""
    return 0.0 if deviation is not None and abs(deviation) < ROUNDING else deviation


def _cited(run: ReportedRun) -> str:
    return f"{run.paper or 'the figures of the grid'} ({seeds_of_paper(run.paper_seeds)})"
