"""What `mer report` makes of runs: for each corpus a table of scores, beside papers and with the differences of its rows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mer.report.compared import compare_group
from mer.report.errors import ReportError
from mer.report.latex_text import latex_table
from mer.report.papers import beside_papers, with_known_figures
from mer.report.reported_run import find_runs
from mer.report.run_group import RunGroup, group_runs
from mer.report.score_table import ScoreTable, score_table
from mer.report.table_text import csv_table, markdown_table


@dataclass(frozen=True, kw_only=True, eq=False)
class TableReport:
    """One table and what was said of its rows."""

    group: RunGroup
    """The runs."""
    table: ScoreTable
    """Their scores."""
    comparisons: Sequence[Mapping[str, Any]]
    """`RowComparison.as_dict()` of each row against the reference."""
    not_compared: Mapping[str, str]
    """Rows that could not be compared, with the reason."""
    columns: tuple[str, ...] = ()
    """Keys of the columns of the LaTeX and Markdown tables; empty for those that fit."""
    wide: bool = False
    """Whether the LaTeX table goes over both columns of a page."""
    by: Mapping[str, ScoreTable] = field(default_factory=dict)
    """What the test utterances are divided by to the table of their parts."""

    @property
    def folder_name(self) -> str:
        """Where its files go when there are several tables: `iemocap-angry-happy-sad-neutral`."""
        return re.sub(r"[^\w.-]+", "-", "-".join([self.group.corpus, *self.group.classes]))[:80]

    @property
    def notes(self) -> list[str]:
        """What a reader has to know about the files of finished runs."""
        return [f"{run.name}: {note}" for run in self.group.finished for note in run.notes]

    def text(self, table: ScoreTable, kind: str) -> str:
        """One of the report's tables as a file.

        Args:
            table: `table`, or one of `by`.
            kind: `markdown`, `latex` or `csv`.

        Raises:
            ReportError: it lacks one of `columns`.
        """
        if kind == "latex":
            return latex_table(table, self.columns, wide=self.wide)
        return markdown_table(table, self.columns) if kind == "markdown" else csv_table(table)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "table": self.table.as_dict(),
            "comparisons": self.comparisons,
            "not_compared": self.not_compared,
            **({"by": {name: table.as_dict() for name, table in self.by.items()}} if self.by else {}),
            "runs": [{"name": run.name, "directory": str(run.directory), "notes": list(run.notes)} for run in self.group.runs],
        }


def table_reports(
    places: Sequence[Path], *, reference: str | None = None, force: bool = False
) -> tuple[list[TableReport], list[str]]:
    """One table for each corpus and list of classes, and what there is to say before them.

    Args:
        places: run directories, folders of them, or a grid's folder.
        reference: the row that the others are compared with; the best one by default.
        force: make several tables where runs are of several corpora or lists of classes.

    Raises:
        ReportError: no runs, runs that cannot share a table, or no row of the reference's name.
        ResultError: a file is damaged.
    """
    if not places:
        raise ReportError("which runs? Give run directories, or a folder of them: mer report runs")
    found, remarks = with_known_figures(find_runs(tuple(places)))
    tables = [_table(group, reference) for group in group_runs(found, force=force)]
    return tables, [*remarks, *(note for table in tables for note in table.notes)]


def _table(group: RunGroup, reference: str | None) -> TableReport:
    comparisons, refusals = compare_group(group, reference)
    table = score_table(group, comparisons, chosen=reference is not None, beside=beside_papers(group))
    return TableReport(group=group, table=table, comparisons=comparisons, not_compared=refusals)
