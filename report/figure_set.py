"""Every figure that the runs of a table have the numbers for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from mer.protocol.answers import Answers
from mer.protocol.calibration import BINS, reliability, risk_coverage
from mer.report.confidence import pooled_answers
from mer.report.figures.confusion import confusion_figure
from mer.report.figures.layer_weights import layer_weights_figure
from mer.report.figures.learning_curves import learning_curves_figure
from mer.report.figures.reliability import reliability_figure
from mer.report.figures.risk_coverage import risk_coverage_figure
from mer.report.figures.ua_by_part import ua_by_part_figure
from mer.report.figures.ua_by_row import RunScore, ua_by_row_figure
from mer.report.part_scores import PARTS, part_scores, parts_of
from mer.report.run_group import RunGroup
from mer.report.utterance_facts import Facts

LONGEST_STEM = 80
"""Characters of a row's name in the name of a file; file systems have room for 255 bytes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedFigure:
    """A figure with its file's name and its caption."""

    name: str
    """Without a suffix."""
    caption: str
    """What it shows, in full: also what a screen reader says."""
    figure: Figure
    """The drawing."""


def figure_set(group: RunGroup, facts: Facts, by: Sequence[str] = ()) -> list[NamedFigure]:
    """Draw what there is; a figure without numbers is left out, and where there are no classes, those that need classes.

    Args:
        group: the rows.
        facts: of the test utterances.
        by: columns of the corpus that they are divided by, beside `PARTS`.
    """
    found: list[NamedFigure] = []
    done = group.finished
    if done:
        found.append(_by_row(group))
    if done and not group.rated:
        found.append(_confusion(group))
        answers = {run.name: pooled_answers(run) for run in done if run.predictions}
        found += [make(answers) for make in (_reliability, _risk_coverage) if answers]
        found += [figure for division in dict.fromkeys([*PARTS, *by]) if (figure := _by_part(group, facts, division)) is not None]
    found += _layer_weights(group)
    # A run that holds nothing out for validation has no curve.
    measure = "CCC" if group.rated else "UA"
    key = f"validation_{measure.lower()}"
    curves = {run.name: [line for line in run.metrics.epochs if line.get(key) is not None] for run in group.runs}
    epochs = {name: lines for name, lines in curves.items() if lines}
    if epochs:
        caption = (
            f"Learning curves: validation {measure} of every run by epoch, one panel a head, one colour a test session; "
            "the dot is the epoch whose weights were tested (lowest validation loss, where the settings do not say the last)."
        )
        kept = {run.name: run.kept_epochs for run in group.runs}
        found.append(NamedFigure(name="learning-curves", caption=caption, figure=learning_curves_figure(epochs, kept, measure)))
    return found


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
    return NamedFigure(name=f"{key}-by-head", caption=caption, figure=ua_by_row_figure(scores, chance, key.upper()))


def _confusion(group: RunGroup) -> NamedFigure:
    matrices = {run.name: run.result["summary"]["confusion"] for run in group.finished}
    seeds = {run.name: len(run.result["summary"]["seeds"]) for run in group.finished}
    caption = (
        "Confusion matrices, merged over folds, mean over seeds: share of each class (row) that was given each prediction "
        "(column), and utterances below it. The diagonal holds the recalls."
    )
    return NamedFigure(name="confusion", caption=caption, figure=confusion_figure(matrices, group.classes, seeds))


def _by_part(group: RunGroup, facts: Facts, division: str) -> NamedFigure | None:
    parts = parts_of(facts, division)
    if len(set(parts.values()) - {""}) < 2:
        return None
    scores = {run.name: part_scores(run.predictions, parts) for run in group.finished}
    caption = f"UA by {division} in percent, all seeds together; n = test utterances."
    if any(score.classes < len(group.classes) for each in scores.values() for score in each):
        caption += " A part without utterances of some class has no UA."
    return NamedFigure(
        name=f"ua-by-{re.sub(r'[^0-9A-Za-z]+', '-', division)}",
        caption=caption,
        figure=ua_by_part_figure(scores, division, len(group.classes)),
    )


def _reliability(answers: Mapping[str, Answers]) -> NamedFigure:
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
    return NamedFigure(name="reliability", caption=caption, figure=reliability_figure(bins))


def _risk_coverage(answers: Mapping[str, Answers]) -> NamedFigure:
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
    return NamedFigure(name="risk-coverage", caption=caption, figure=risk_coverage_figure(risks))


def _layer_weights(group: RunGroup) -> list[NamedFigure]:
    """One figure a head that has learned shares."""
    found: list[NamedFigure] = []
    for run in group.finished:
        rows = [each.get("layer_shares") or {} for each in run.result["runs"]]
        names = [name for name in run.result.get("layers", {}) if all(name in row for row in rows)]
        if names:
            shares = {name: [row[name] for row in rows] for name in names}
            layers = {name: run.result["layers"][name] for name in names}
            caption = (
                f"Learned share of each encoder layer in {run.name}, in percent, mean over runs with the standard deviation "
                "over runs."
            )
            stem = "layers-" + re.sub(r"[^0-9A-Za-z]+", "-", run.name).strip("-")[:LONGEST_STEM]
            same = sum(figure.name.partition("_")[0] == stem for figure in found)
            found.append(
                NamedFigure(
                    name=f"{stem}_{same + 1}" if same else stem, caption=caption, figure=layer_weights_figure(shares, layers)
                )
            )
    return found
