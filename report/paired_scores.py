"""Differences between rows, and between two parts of the utterances, each over the folds and seeds that have both."""

from collections import Counter
from collections.abc import Mapping, Sequence

from mer.report.figures.ua_by_row import RunScore
from mer.report.part_scores import part_order
from mer.report.reported_run import ReportedRun
from mer.results.run_files import PredictionRow


def row_differences(row: ReportedRun, reference: ReportedRun) -> list[RunScore]:
    """UA of a row minus that of another in every (fold, seed) that both have; what one of them lacks takes no part."""
    theirs = {(str(each["fold"]), int(each["seed"])): each["ua"] for each in reference.result["runs"]}
    ours = {(str(each["fold"]), int(each["seed"])): each["ua"] for each in row.result["runs"]}
    return [RunScore(fold=f, seed=s, ua=ua - theirs[f, s]) for (f, s), ua in ours.items() if (f, s) in theirs]


def two_parts(part_of: Mapping[str, str]) -> tuple[str, str] | None:
    """The parts of a division that has two, in the order of `part_order`; None for any other number."""
    parts = part_order([part for part in part_of.values() if part])
    return (parts[0], parts[1]) if len(parts) == 2 else None


def part_gaps(
    predictions: Sequence[PredictionRow], part_of: Mapping[str, str], parts: tuple[str, str], classes: int
) -> list[RunScore]:
    """UA on the first part minus UA on the second in every (fold, seed) where both have utterances of every class.

    A fold that lacks one of them, or a class of one, would move one of two means and not the other.

    Args:
        predictions: of one head.
        part_of: utterance id to its part.
        parts: the two.
        classes: how many there are.
    """
    sizes: Counter[tuple[tuple[str, int], str, str]] = Counter()
    hits: Counter[tuple[tuple[str, int], str, str]] = Counter()
    for each in predictions:
        key = ((each.fold, each.seed), part_of.get(each.id, ""), each.label)
        sizes[key] += 1
        hits[key] += each.prediction == each.label
    recalls: dict[tuple[tuple[str, int], str], list[float]] = {}
    for (cell, part, label), size in sizes.items():
        recalls.setdefault((cell, part), []).append(hits[cell, part, label] / size)
    found = []
    for cell in dict.fromkeys(cell for cell, _, _ in sizes):
        first, second = (recalls.get((cell, part), []) for part in parts)
        if len(first) == len(second) == classes:
            found.append(RunScore(fold=cell[0], seed=cell[1], ua=(sum(first) - sum(second)) / classes))
    return found
