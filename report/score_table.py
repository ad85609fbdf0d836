"""The rows of a report as plain numbers, whatever they are printed as."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mer.report.comparison_table import mark
from mer.report.reported_run import ReportedRun
from mer.report.run_group import RunGroup


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One head; shares of 1, published figures in percent."""

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
    wa_merged: float | None
    """All folds scored together, mean over seeds."""
    published_ua: float | None
    """A paper's UA in percent."""
    published_wa: float | None
    """A paper's WA in percent."""
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
    rows: tuple[ScoreRow, ...]
    """One per head."""

    @property
    def published(self) -> bool:
        """Whether any row has a paper's figure beside it."""
        return any(row.published_ua is not None or row.published_wa is not None for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows]}


def score_table(group: RunGroup, comparisons: Sequence[Mapping[str, Any]] = ()) -> ScoreTable:
    """Collect what `result.json` files say.

    Args:
        group: the rows.
        comparisons: `RowComparison.as_dict()` of rows against one reference, where there are several rows.
    """
    compared = {str(each["row"]): each for each in comparisons}
    scores = [run.result["summary"]["all"]["ua"]["mean_of_folds"] for run in group.finished]
    best = max(scores, default=None)
    return ScoreTable(
        title=group.title,
        synthetic=group.synthetic,
        reference=str(comparisons[0]["reference"]) if comparisons else None,
        rows=tuple(_row(run, compared.get(run.name), best) for run in group.runs),
    )


def _row(run: ReportedRun, compared: Mapping[str, Any] | None, best: float | None) -> ScoreRow:
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
        ua_folds=ua.get("std_folds"),
        ua_seeds=ua.get("std_seeds"),
        ua_merged=ua.get("merged"),
        wa=wa.get("mean_of_folds"),
        wa_merged=wa.get("merged"),
        published_ua=run.published.get("ua"),
        published_wa=run.published.get("wa"),
        difference=against.get("difference"),
        low=against.get("low"),
        high=against.get("high"),
        p_holm=against.get("p_holm"),
        mark=mark(compared) if compared else "",
        best=done and ua.get("mean_of_folds") == best,
    )
