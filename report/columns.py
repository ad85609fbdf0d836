"""The columns of every table of scores, each declared once, for terminal, Markdown, LaTeX, CSV and page."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from mer.protocol.metrics import METRICS, STATISTICS, metrics_for, shown_metrics
from mer.report.comparison_table import DASH, points, probability
from mer.report.errors import ReportError
from mer.report.score_table import PAPER_MEASURES, ScoreRow, ScoreTable
from mer.report.tables import percent

MEAN = "mean_of_folds"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: what its cells hold, and how they are shown to people."""

    key: str
    """Its name in CSV."""
    title: str = ""
    """Its name for people."""
    get: Callable[[ScoreTable, ScoreRow], Any]
    """The value; None where there is none."""
    text: Callable[[ScoreTable, ScoreRow], str] = lambda table, row: ""
    """The cell for people."""
    share: bool = False
    """Whether the value is a share of 1, which CSV has in percent."""

    @property
    def narrow(self) -> str:
        """The title in two lines, for a terminal."""
        return self.title.replace(" ", "\n")


def _share(key: str, title: str, get: Callable[[ScoreRow], float | None]) -> Column:
    return Column(key=key, title=title, get=lambda _, row: get(row), text=lambda _, row: percent(get(row)), share=True)


NAME = Column(key="name", title="head", get=lambda _, row: row.name, text=lambda _, row: row.name)
COUNT = Column(
    key="utterances",
    title="n",
    get=lambda _, row: row.utterances,
    text=lambda _, row: DASH if row.utterances is None else f"{row.utterances:,}",
)
DIFFERENCE = Column(
    key="difference",
    title="difference",
    get=lambda table, row: 0.0 if row.name == table.reference else row.difference,
    text=lambda table, row: "reference" if row.name == table.reference else _difference(row),
)
POINTS = Column(
    key="points",
    title="diff",
    get=lambda table, row: 0.0 if row.name == table.reference else row.difference,
    text=lambda table, row: "ref." if row.name == table.reference else DASH if row.difference is None else _points(row),
)
P_HOLM = Column(key="p_holm", title="p (Holm)", get=lambda _, row: row.p_holm, text=lambda _, row: probability(row.p_holm))


def measure_column(measure: str, statistic: str) -> Column:
    """One statistic of one measure."""
    title, (suffix, _) = METRICS[measure].title, STATISTICS[statistic]
    key = measure if statistic == MEAN else f"{measure}_{statistic}"
    short = "±" in suffix and measure in ("ua", "ccc")
    shown = suffix if short else f"{title} {suffix}".strip()
    return _share(key, shown, lambda row: row.share(measure, statistic))


def measure_columns(table: ScoreTable, *, narrow: bool = False) -> list[Column]:
    """What tables for people show of the measures.

    Args:
        table: the rows.
        narrow: beside a paper's figures a terminal has room for the measures that papers report, and for the mean of the second.
    """
    if narrow:
        first, *others = PAPER_MEASURES
        return [*(measure_column(first, each) for each in METRICS[first].shown), *(measure_column(each, MEAN) for each in others)]
    return [measure_column(measure, each) for measure, metric in table.shown.items() for each in metric.shown]


def paper_columns(measure: str, *, setup: bool = True) -> list[Column]:
    """A paper's figure, and ours minus it with its noise; instead of a difference how the set-up differs.

    Args:
        measure: one that some row has a paper's figure of.
        setup: whether there is room for what differs; `differs` otherwise.
    """

    def versus(table: ScoreTable, row: ScoreRow) -> str:
        paper = row.papers.get(measure)
        if paper is None:
            return (row.setup if setup else "differs") if row.setup and measure in PAPER_MEASURES else DASH
        return points(paper.difference) + ("" if paper.noise is None else f" ±{percent(paper.noise)}")

    return [
        _figure(measure),
        Column(key=f"{measure}_vs_paper", title="vs paper", get=_of_paper(measure, "difference"), text=versus),
    ]


def verdict_columns(measure: str) -> list[Column]:
    """A paper's figure, ours minus it, and whether that is more than noise."""

    def difference(table: ScoreTable, row: ScoreRow) -> str:
        paper = row.papers.get(measure)
        return ("differs" if row.setup and measure in PAPER_MEASURES else DASH) if paper is None else points(paper.difference)

    def verdict(table: ScoreTable, row: ScoreRow) -> str:
        paper = row.papers.get(measure)
        if paper is None or paper.difference is None:
            return DASH
        within = "inside" if paper.noise is not None and abs(paper.difference) <= paper.noise else "outside"
        return "unknown" if paper.noise is None else f"{within} ±{percent(paper.noise)}"

    return [
        replace(_figure(measure), title="paper"),
        Column(key=f"{measure}_diff", title="diff", get=_of_paper(measure, "difference"), text=difference),
        Column(key=f"{measure}_noise", title="noise", get=_of_paper(measure, "noise"), text=verdict),
    ]


def _figure(measure: str) -> Column:
    get = _of_paper(measure, "published")
    return _share(f"paper_{measure}", f"paper {METRICS[measure].title}", lambda row: get(None, row))


def _of_paper(measure: str, name: str) -> Callable[[Any, ScoreRow], float | None]:
    return lambda _, row: getattr(row.papers.get(measure), name, None)


def _difference(row: ScoreRow) -> str:
    """`-1.23 [-2.00, -0.50]**`, or a dash."""
    return DASH if row.difference is None else f"{points(row.difference)} [{points(row.low)}, {points(row.high)}]{row.mark}"


def _points(row: ScoreRow) -> str:
    return points(row.difference) + row.mark


def shown_columns(table: ScoreTable) -> list[Column]:
    """The columns of Markdown, LaTeX and page."""
    papers = [column for measure in table.paper_measures for column in paper_columns(measure)]
    return [NAME, COUNT, *measure_columns(table), *papers, *([DIFFERENCE] if table.reference else [])]


def first_measure(table: ScoreTable) -> str:
    """The measure that the best row is the best in, `ua` as a rule."""
    return next(iter(table.shown))


def column_columns(table: ScoreTable) -> list[Column]:
    """What a column of a paper has room for: the first measure with its deviations, the mean of the second, and a difference.

    Beside a paper's figures there is no room for the deviation over folds and for the difference from another row.
    """
    first, *others = table.shown
    papers = [column for measure in table.paper_measures for column in paper_columns(measure, setup=False)]
    statistics = [each for each in METRICS[first].shown if each != "merged" and not (papers and each == "std_folds")]
    means = [measure_column(each, MEAN) for each in (others if first == "ccc" else others[:1])]
    last = papers or ([POINTS] if table.reference else [])
    return [NAME, *(measure_column(first, each) for each in statistics), *means, *last]


def chosen_columns(table: ScoreTable, keys: Sequence[str]) -> list[Column]:
    """The columns of these names, behind the rows' names.

    Args:
        table: the rows.
        keys: as CSV calls them, such as `ua`, `ua_std_seeds`, `difference`; `points` is the difference without its interval.

    Raises:
        ReportError: no column is called so.
    """
    papers = [column for measure in table.paper_measures for column in paper_columns(measure, setup=False)]
    measures = [measure_column(each, statistic) for each in metrics_for(table.learned) for statistic in STATISTICS]
    compared = [DIFFERENCE, POINTS, P_HOLM] if table.reference else []
    known = {column.key: column for column in (COUNT, *measures, *papers, *compared)}
    for key in keys:
        if key not in known:
            raise ReportError(
                f"--columns {','.join(keys)}: this table has no column {key!r}; expected some of {', '.join(known)}"
            )
    return [NAME, *(known[key] for key in dict.fromkeys(keys))]


def cells(table: ScoreTable, row: ScoreRow, columns: Sequence[Column]) -> list[str]:
    """The cells of a row for people; a row without a result has its status in place of the first measure."""
    first = first_measure(table)
    return [row.status if column.key == first and row.status != "done" else column.text(table, row) for column in columns]


def score_definitions(table: ScoreTable | None = None, keys: Collection[str] | None = None) -> str:
    """What the numbers of a table of scores mean.

    Args:
        table: the rows; any of classes by default.
        keys: of the columns that are shown; all by default.
    """
    shown = shown_metrics() if table is None else table.shown
    first = next(iter(shown.values())).title
    if keys is not None:
        shown = {name: each for name, each in metrics_for(table.learned if table else ()).items() if _has(keys, name)}
    said = [f"each the {STATISTICS[MEAN][1]}"]
    if keys is None or any("_std_" in key for key in keys):
        said[0] += f". ± = standard deviation over test sessions, and over seeds, of {first} unless said otherwise"
    if keys is None or any(key.endswith("_merged") for key in keys):
        said.append(f"merged = {STATISTICS['merged'][1]}")
    if keys is None or COUNT.key in keys:
        said.append("n = test utterances")
    meanings = ", ".join(f"{metric.title} = {metric.meaning}" for metric in shown.values())
    return f"In percent. {'; '.join([meanings, *said] if meanings else said)}."


def _has(keys: Collection[str], measure: str) -> bool:
    return any(key == measure or key in {f"{measure}_{statistic}" for statistic in STATISTICS} for key in keys)


def csv_columns(table: ScoreTable) -> list[Column]:
    """Every number of a row, at full precision; where rows are of parts, of which."""
    papers = [
        Column(key=f"paper_{measure}{suffix}", get=_of_paper(measure, name), share=True)
        for measure in PAPER_MEASURES
        for suffix, name in (("", "published"), ("_difference", "difference"), ("_noise", "noise"))
    ]
    return [
        NAME,
        *([Column(key="part", get=lambda _, row: row.part)] if any(row.part for row in table.rows) else []),
        Column(key="status", get=lambda _, row: row.status),
        COUNT,
        Column(key="runs", get=lambda _, row: row.runs),
        *(measure_column(measure, statistic) for measure in metrics_for(table.learned) for statistic in STATISTICS),
        *papers,
        Column(key="reference", get=lambda table, row: None if row.difference is None else table.reference),
        *(_share(name, "", attrgetter(name)) for name in ("difference", "low", "high")),
        P_HOLM,
        Column(key="mark", get=lambda _, row: row.mark),
        Column(key="synthetic", get=lambda table, _: int(table.synthetic)),
        Column(key="paper", get=lambda _, row: row.paper),
        Column(key="paper_seeds", get=lambda _, row: next((paper.seeds for paper in row.papers.values()), None)),
        Column(key="paper_setup", get=lambda _, row: row.setup),
        Column(key="left_out_for_text", get=lambda _, row: row.left_out),
    ]
