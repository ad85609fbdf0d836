"""Two heads side by side: whose recall changed, and which utterances."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mer.report.compared import compare_two
from mer.report.comparison_table import comparison_table, points
from mer.report.errors import ReportError
from mer.report.reported_run import ReportedRun, find_runs
from mer.report.run_group import group_runs
from mer.report.table_text import SYNTHETIC
from mer.report.tables import counted, percent
from mer.report.utterance_answers import MeanAnswer, mean_answers

SHOWN = 20
"""Changed utterances that the terminal lists; `--json` gives all."""
CHANGED = "Answers are those of the mean probabilities over seeds. Recall = share of a class that is found, over all runs."


@dataclass(frozen=True, kw_only=True)
class RecallChange:
    """One class."""

    label: str
    """The class."""
    a: float
    """Recall of the first head, of 1."""
    b: float
    """Recall of the second."""

    @property
    def difference(self) -> float:
        """First minus second."""
        return self.a - self.b


@dataclass(frozen=True, kw_only=True)
class ChangedUtterance:
    """An utterance about which the two heads differ."""

    id: str
    """Utterance."""
    label: str
    """Its class."""
    a: str
    """What the first head says."""
    b: str
    """What the second says."""
    a_confidence: float
    """Mean probability of `a`."""
    b_confidence: float
    """Mean probability of `b`."""
    kind: str
    """`only a right`, `only b right` or `both wrong`."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two finished heads on the same utterances."""

    a: str
    """Name of the first."""
    b: str
    """Name of the second."""
    synthetic: bool
    """Whether the speech is synthetic."""
    utterances: int
    """Test utterances of both."""
    recalls: tuple[RecallChange, ...]
    """One per class."""
    changed: tuple[ChangedUtterance, ...]
    """Utterances on which they differ: the surest first."""
    comparison: Mapping[str, Any]
    """`RowComparison.as_dict()`, `a` minus `b`."""

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)

    def counted(self, kind: str) -> int:
        """How many changed utterances are of a kind."""
        return sum(each.kind == kind for each in self.changed)


def compared_pair(a: Path, b: Path, places: tuple[Path, ...]) -> Pair:
    """Two rows with their paired test.

    Args:
        a: the first: a run directory, a folder of one, or the name that `mer report` gives a row of the runs at `places`.
        b: the second, which differences are against.
        places: where rows are looked for by name.

    Raises:
        ReportError: neither a folder nor the name of a row, not one run each, or runs that cannot be compared.
    """
    first, second = _chosen(a, b, places)
    group_runs([first, second])
    both_done = first.status == second.status == "done"
    return make_pair(first, second, compare_two(first, second) if both_done else {})


def _chosen(a: Path, b: Path, places: tuple[Path, ...]) -> list[ReportedRun]:
    named = [each for each in (a, b) if not each.is_dir()]
    if not named:
        runs = find_runs((a, b))
        if len(runs) != 2:
            raise ReportError(f"--compare takes two run directories; {a} and {b} hold {len(runs)}")
        return runs
    if not any(place.is_dir() for place in places):
        raise ReportError(f"{named[0]}: no such folder; give two run directories, or names of rows and where they are: RUNS...")
    rows = {run.name: run for run in find_runs(places)}
    folders = {run.directory.resolve(): run for run in rows.values()}
    pair = []
    for each in (a, b):
        found = folders.get(each.resolve()) if each.is_dir() else rows.get(str(each))
        if found is None:
            known = ", ".join(map(repr, rows))
            raise ReportError(f"{each}: no run directory and no row of {', '.join(map(str, places))}; expected one of {known}")
        pair.append(found)
    if pair[0] is pair[1]:
        raise ReportError(f"--compare takes two rows; {a} and {b} are both {pair[0].name}")
    return pair


def make_pair(a: ReportedRun, b: ReportedRun, comparison: Mapping[str, Any]) -> Pair:
    """Set two heads side by side.

    Args:
        a: the first.
        b: the second, which differences are against.
        comparison: their paired test, `a` against `b`.

    Raises:
        ReportError: one is not finished, or predicts ratings.
    """
    for run in (a, b):
        if run.status != "done":
            raise ReportError(f"{run.name} ({run.directory}) is not finished: there is nothing to compare yet")
        if run.rated:
            raise ReportError(
                f"{run.name} predicts {', '.join(run.classes)}; --compare is of classes: put both rows into one table"
            )
    ours, theirs = mean_answers(a.predictions, a.classes), mean_answers(b.predictions, b.classes)
    both = [name for name in ours if name in theirs]
    changed = [_changed(ours[name], theirs[name]) for name in both if ours[name].prediction != theirs[name].prediction]
    recall_a, recall_b = a.result["summary"]["recall"], b.result["summary"]["recall"]
    return Pair(
        a=a.name,
        b=b.name,
        synthetic=bool(a.synthetic or b.synthetic),
        utterances=len(both),
        recalls=tuple(RecallChange(label=name, a=recall_a[name], b=recall_b[name]) for name in a.classes),
        changed=tuple(sorted(changed, key=lambda each: (-min(each.a_confidence, each.b_confidence), each.id))),
        comparison=dict(comparison),
    )


def _changed(a: MeanAnswer, b: MeanAnswer) -> ChangedUtterance:
    kind = "only a right" if a.prediction == a.label else "only b right" if b.prediction == a.label else "both wrong"
    return ChangedUtterance(
        id=a.id,
        label=a.label,
        a=a.prediction,
        b=b.prediction,
        a_confidence=a.confidence,
        b_confidence=b.confidence,
        kind=kind,
    )


def pair_report(pair: Pair) -> RenderableType:
    """The test, the recalls, and the utterances that changed."""
    parts: list[RenderableType] = [Text(f"a = {pair.a}, b = {pair.b}", style="bold")]
    if pair.synthetic:
        parts.append(Text(SYNTHETIC, style="yellow"))
    recalls = _table(("class", "recall a", "recall b", "a - b"))
    for change in pair.recalls:
        recalls.add_row(escape(change.label), percent(change.a), percent(change.b), points(change.difference))
    counts = [f"{pair.counted(kind):,} {kind}" for kind in ("only a right", "only b right", "both wrong")]
    parts += [comparison_table([pair.comparison]), recalls]
    parts.append(Text(f"{len(pair.changed):,} of {counted(pair.utterances, 'utterance')} changed: {', '.join(counts)}"))
    listed = _table(("utterance", "label", "a", "b", "sure a", "sure b"))
    for each in pair.changed[:SHOWN]:
        sure = (percent(each.a_confidence), percent(each.b_confidence))
        listed.add_row(*(escape(cell) for cell in (each.id, each.label, each.a, each.b, *sure)))
    if pair.changed:
        parts.append(listed)
    if len(pair.changed) > SHOWN:
        parts.append(Text(f"and {len(pair.changed) - SHOWN:,} more: --json lists all", style="dim"))
    return Group(*parts, Text(CHANGED, style="dim"))


def _table(names: tuple[str, ...]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in names:
        numeric = name.startswith(("recall", "a -", "sure"))
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    return table
