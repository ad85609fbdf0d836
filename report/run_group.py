"""Runs that may stand in one table: of one corpus, with one list of classes."""

from collections.abc import Sequence
from dataclasses import dataclass

from mer.report.errors import ReportError
from mer.report.head_looks import HeadLook, head_looks
from mer.report.reported_run import ReportedRun


@dataclass(frozen=True, kw_only=True, eq=False)
class RunGroup:
    """The rows of one table."""

    corpus: str
    """Name of the corpus."""
    classes: tuple[str, ...]
    """Class names in order; empty when no row has any yet."""
    synthetic: bool
    """Whether the speech is synthetic."""
    runs: tuple[ReportedRun, ...]
    """Finished and unfinished."""

    @property
    def finished(self) -> tuple[ReportedRun, ...]:
        """Rows with a result."""
        return tuple(run for run in self.runs if run.status == "done")

    @property
    def looks(self) -> dict[str, HeadLook]:
        """What each row looks like, on the page and in every figure."""
        return head_looks([run.name for run in self.runs])

    @property
    def rated(self) -> bool:
        """Whether the rows predict ratings, not classes."""
        return any(run.rated for run in self.runs)

    @property
    def title(self) -> str:
        """`iemocap, 4 classes`, or `iemocap, valence, arousal, dominance`."""
        if self.rated:
            return f"{self.corpus}, {', '.join(self.classes)}"
        return f"{self.corpus}, {len(self.classes)} classes" if self.classes else self.corpus


def group_runs(runs: Sequence[ReportedRun], *, force: bool = False) -> tuple[RunGroup, ...]:
    """Put runs of one corpus and one list of classes together.

    Args:
        runs: at least one.
        force: give several groups where there are several corpora or lists of classes.

    Raises:
        ReportError: there are several, and not `force`; or there are no runs.
    """
    if not runs:
        raise ReportError("no runs to report; give run directories")
    # An unfinished run without classes joins its corpus' first table.
    known: dict[tuple[str, tuple[str, ...]], list[ReportedRun]] = {}
    for run in runs:
        if run.classes:
            known.setdefault((run.corpus, run.classes), []).append(run)
    for run in runs:
        if not run.classes:
            place = next((key for key in known if key[0] == run.corpus), (run.corpus, ()))
            known.setdefault(place, []).append(run)
    if len(known) > 1 and not force:
        raise ReportError(_refusal(known))
    order = {id(run): place for place, run in enumerate(runs)}
    return tuple(
        RunGroup(
            corpus=corpus,
            classes=classes,
            synthetic=any(run.synthetic for run in members),
            runs=tuple(sorted(members, key=lambda run: order[id(run)])),
        )
        for (corpus, classes), members in known.items()
    )


def _refusal(known: dict[tuple[str, tuple[str, ...]], list[ReportedRun]]) -> str:
    lines = [
        f"  {corpus}, {', '.join(classes) or 'classes unknown'}: {', '.join(run.name for run in members)}"
        for (corpus, classes), members in known.items()
    ]
    return "\n".join(
        [
            "runs of different corpora or classes cannot share a table:",
            *lines,
            "give them apart, or --force for a table each",
        ]
    )
