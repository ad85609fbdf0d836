"""Every figure that the runs of a table have the numbers for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from mer.cache.granularity import in_order
from mer.protocol.answers import Answers
from mer.protocol.calibration import BINS, reliability, risk_coverage
from mer.report.confidence import pooled_answers
from mer.report.figures.confusion import confusion_figure
from mer.report.figures.differences import differences_figure
from mer.report.figures.layer_weights import layer_weights_figure
from mer.report.figures.learning_curves import learning_curves_figure
from mer.report.figures.reliability import reliability_figure
from mer.report.figures.risk_coverage import risk_coverage_figure
from mer.report.figures.ua_by_part import ua_by_part_figure
from mer.report.figures.ua_by_row import RunScore, ua_by_row_figure
from mer.report.paired_scores import part_gaps, row_differences, two_parts
from mer.report.part_scores import PARTS, part_scores, parts_of
from mer.report.run_group import RunGroup
from mer.report.utterance_facts import Facts

CONFUSION = "confusion"
"""Name of the figure of the matrices."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedFigure:
    """A figure with its file's name and its caption."""

    name: str
    """Without a suffix."""
    caption: str
    """What it shows, in full: also what a screen reader says."""
    figure: Figure
    """The drawing."""


def figure_set(
    group: RunGroup, facts: Facts, by: Sequence[str] = (), comparisons: Sequence[Mapping[str, Any]] = ()
) -> list[NamedFigure]:
    """Draw what there is; a figure without numbers is left out, and where there are no classes, those that need classes.

    Args:
        group: the rows.
        facts: of the test utterances.
        by: columns of the corpus that they are divided by, beside `PARTS`.
        comparisons: `RowComparison.as_dict()` of each row that is compared with the reference.
    """
    found: list[NamedFigure] = []
    done = group.finished
    if done:
        found.append(_by_row(group))
    if done and not group.rated:
        divisions = {name: parts_of(facts, name) for name in dict.fromkeys([*PARTS, *by])}
        found += _differences(group, comparisons)
        found.append(_confusion(group))
        answers = {run.name: pooled_answers(run) for run in done if run.predictions}
        found += [make(group, answers) for make in (_reliability, _risk_coverage) if answers]
        found += [figure for name, parts in divisions.items() if (figure := _by_part(group, parts, name)) is not None]
        found += _gaps(group, divisions)
    return [*found, *_layer_weights(group), *_learning_curves(group)]


def _learning_curves(group: RunGroup) -> list[NamedFigure]:
    # A run that holds nothing out for validation has no curve.
    measure = "CCC" if group.rated else "UA"
    key = f"validation_{measure.lower()}"
    curves = {run.name: [line for line in run.metrics.epochs if line.get(key) is not None] for run in group.runs}
    epochs = {name: lines for name, lines in curves.items() if lines}
    if not epochs:
        return []
    caption = (
        f"Learning curves: validation {measure} by epoch, one panel a head: mean over its runs as far as half of them got, the "
        "band one standard deviation over runs; a dot is the epoch whose weights a run was tested with (lowest validation loss, "
        "where the settings do not say the last)."
    )
    kept = {run.name: run.kept_epochs for run in group.runs}
    figure = learning_curves_figure(epochs, kept, group.looks, measure)
    return [NamedFigure(name="learning-curves", caption=caption, figure=figure)]


def _differences(group: RunGroup, comparisons: Sequence[Mapping[str, Any]]) -> list[NamedFigure]:
    """Every row against the reference."""
    done = {run.name: run for run in group.finished}
    if not comparisons:
        return []
    reference = str(comparisons[0]["reference"])
    scores = {str(each["row"]): row_differences(done[str(each["row"])], done[reference]) for each in comparisons}
    short = [f"{each['row']} {each['pairs']}" for each in comparisons if each["pairs"] < len(done[reference].result["runs"])]
    caption = (
        f"UA of each head minus that of {reference}, in points, over the folds and seeds that both have"
        + (f" (fewer than all: {', '.join(short)})" if short else "")
        + ": mean, mean of each test session over seeds, 95 % bootstrap interval over test utterances."
    )
    intervals = {str(each["row"]): (each["low"], each["high"]) for each in comparisons}
    figure = differences_figure({"difference from the reference": scores}, group.looks, intervals)
    return [NamedFigure(name="differences", caption=caption, figure=figure)]


def _gaps(group: RunGroup, divisions: Mapping[str, Mapping[str, str]]) -> list[NamedFigure]:
    """The difference between the two parts of each division that has two."""
    panels = {}
    for parts in divisions.values():
        pair = two_parts(parts)
        scores = {run.name: part_gaps(run.predictions, parts, pair, len(group.classes)) for run in group.finished} if pair else {}
        if pair and any(scores.values()):
            panels[f"{pair[0]} minus {pair[1]}"] = {name: each for name, each in scores.items() if each}
    if not panels:
        return []
    caption = (
        "UA on one part of the test utterances minus UA on the other, in points, over the folds and seeds where both parts have "
        "every class: mean, and mean of each test session over seeds."
    )
    return [NamedFigure(name="gaps", caption=caption, figure=differences_figure(panels, group.looks))]


def _by_row(group: RunGroup) -> NamedFigure:
    """UA, or mean CCC of the dimensions."""
    key, chance = ("ccc", 0.0) if group.rated else ("ua", 1 / len(group.classes))
    scores = {
        run.name: [RunScore(fold=str(each["fold"]), seed=each["seed"], ua=each[key]) for each in run.result["runs"]]
        for run in group.finished
    }
    means = ", ".join(f"{run.name} {100 * run.result['summary']['all'][key]['mean_of_folds']:.1f}" for run in group.finished)
    caption = (
        f"{key.upper()} of each head in percent ({means}): mean over folds and seeds, with the mean of each test session and of "
        f"each seed. Guessing has {100 * chance:.1f}."
    )
    return NamedFigure(name=f"{key}-by-head", caption=caption, figure=ua_by_row_figure(scores, group.looks, chance, key.upper()))


def _confusion(group: RunGroup) -> NamedFigure:
    matrices = {run.name: run.result["summary"]["confusion"] for run in group.finished}
    seeds = {run.name: len(run.result["summary"]["seeds"]) for run in group.finished}
    caption = (
        "Confusion matrices, merged over folds, mean over seeds: share of each class (row) that was given each prediction "
        "(column), and utterances below it. The diagonal holds the recalls."
    )
    return NamedFigure(name=CONFUSION, caption=caption, figure=confusion_figure(matrices, group.classes, seeds))


def _by_part(group: RunGroup, parts: Mapping[str, str], division: str) -> NamedFigure | None:
    if len(set(parts.values()) - {""}) < 2:
        return None
    scores = {run.name: part_scores(run.predictions, parts) for run in group.finished}
    caption = f"UA by {division} in percent, all seeds together; n = test utterances."
    if any(score.classes < len(group.classes) for each in scores.values() for score in each):
        caption += " A part without utterances of some class has no UA."
    return NamedFigure(
        name=f"ua-by-{re.sub(r'[^0-9A-Za-z]+', '-', division)}",
        caption=caption,
        figure=ua_by_part_figure(scores, group.looks, division, len(group.classes)),
    )


def _reliability(group: RunGroup, answers: Mapping[str, Answers]) -> NamedFigure:
    bins, told = {}, []
    for name, each in answers.items():
        right = each.prediction == each.truth
        plain, scaled = (
            None if shares is None else reliability(right, shares.max(1)) for shares in (each.probabilities, each.scaled)
        )
        assert plain is not None  # predictions.csv has them
        bins[name] = plain, scaled
        after = "" if scaled is None else f", {100 * scaled.error:.1f} at the temperature"
        told.append(f"{name} {100 * plain.error:.1f}{after}")
    caption = (
        f"Reliability: share of answers that are right by their confidence, {BINS} bins, all folds and seeds together; grey, the "
        f"share of all answers in each bin. Expected calibration error in percent: {'; '.join(told)}. The temperature is that of "
        "each run's validation part."
    )
    return NamedFigure(name="reliability", caption=caption, figure=reliability_figure(bins, group.looks))


def _risk_coverage(group: RunGroup, answers: Mapping[str, Answers]) -> NamedFigure:
    risks = {
        name: risk_coverage(each.prediction == each.truth, each.probabilities.max(1))
        for name, each in answers.items()
        if each.probabilities is not None
    }
    areas = ", ".join(f"{name} {100 * each.mean():.1f}" for name, each in risks.items())
    caption = (
        "Risk and coverage: share of wrong answers where only the surest are given, all folds and seeds together. Area under the "
        f"curve in percent: {areas}; lower is better."
    )
    return NamedFigure(name="risk-coverage", caption=caption, figure=risk_coverage_figure(risks, group.looks))


def _layer_weights(group: RunGroup) -> list[NamedFigure]:
    """All heads that have learned shares in one figure, a panel a granularity."""
    shares: dict[str, dict[str, list[list[float]]]] = {}
    layers: dict[str, dict[str, list[int]]] = {}
    for run in group.finished:
        rows = [each.get("layer_shares") or {} for each in run.result["runs"]]
        for name, numbers in run.result.get("layers", {}).items():
            if rows and all(name in row for row in rows):
                shares.setdefault(name, {})[run.name] = [row[name] for row in rows]
                layers.setdefault(name, {})[run.name] = numbers
    if not shares:
        return []
    caption = (
        "Learned share of each encoder layer in percent, one panel a granularity: mean over runs with the standard deviation "
        "over runs."
    )
    figure = layer_weights_figure({name: shares[name] for name in in_order(shares)}, layers, group.looks)
    return [NamedFigure(name="layer-weights", caption=caption, figure=figure)]
