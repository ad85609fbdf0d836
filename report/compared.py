"""Which rows of a report differ: every row against one of them, and two rows against each other."""

from collections.abc import Mapping
from typing import Any

from mer.protocol import ProtocolError, compare_rows
from mer.report.errors import ReportError
from mer.report.missing_measures import answers_of
from mer.report.reported_run import ReportedRun
from mer.report.run_group import RunGroup


def compare_group(group: RunGroup, reference: str | None) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Every finished row against the reference, or the best; what cannot be compared, with the reason.

    Raises:
        ReportError: no finished row is called so.
    """
    finished = {run.name: run for run in group.finished}
    if reference is not None and reference not in finished:
        raise ReportError(f"there is no finished row {reference!r}; expected one of {', '.join(map(repr, finished))}")
    if len(finished) < 2:
        return [], {}
    if group.rated:
        return [], dict.fromkeys(finished, "ratings are shown side by side, without a test of their difference")
    chosen = reference or max(finished, key=lambda name: finished[name].result["summary"]["all"]["ua"]["mean_of_folds"])
    answers = {name: answers_of(run.predictions, run.classes) for name, run in finished.items()}
    refusals = {}
    for name in [name for name in answers if name != chosen]:
        try:
            compare_rows({chosen: answers[chosen], name: answers[name]}, chosen, len(group.classes), draws=1)
        except ProtocolError as problem:
            refusals[name] = str(problem)
            del answers[name]
    return [row.as_dict() for row in compare_rows(answers, chosen, len(group.classes))], refusals


def compare_two(a: ReportedRun, b: ReportedRun) -> Mapping[str, Any]:
    """The paired test of two finished rows, `a` against `b`."""
    return compare_rows({run.name: answers_of(run.predictions, run.classes) for run in (a, b)}, b.name, len(b.classes))[
        0
    ].as_dict()
