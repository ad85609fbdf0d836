"""UA by session, speaker, duration or style."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from mer.report.figures.room_for_names import head_legend, legend_height
from mer.report.figures.style import BAND, COLUMN, GREY, new_figure, paper_style
from mer.report.head_looks import HeadLook
from mer.report.part_scores import PartScore, part_order

UNITS = {"session": "test session (number)", "speaker": "speaker (id)", "duration": "duration (s)", "style": "style (name)"}


def ua_by_part_figure(
    scores: Mapping[str, Sequence[PartScore]], looks: Mapping[str, HeadLook], division: str, classes: int
) -> Figure:
    """Points of every head over the parts, with the number of utterances below each part.

    A part that lacks a class has no point: the mean of fewer recalls is not comparable with the others.

    Args:
        scores: head to its score on each part.
        looks: of each head.
        division: a name in `PARTS`.
        classes: how many there are; guessing has a UA of one over this.
    """
    parts = part_order([score.part for each in scores.values() for score in each])
    first = {score.part: score for each in scores.values() for score in each}
    with paper_style():
        figure = new_figure(COLUMN, 2.1 + legend_height(list(scores), COLUMN))
        axis = figure.subplots()
        for place, (name, each) in enumerate(scores.items()):
            known = {score.part: 100 * score.ua for score in each if score.classes == classes}
            shift = 0.6 * (place / (len(scores) - 1) - 0.5) if len(scores) > 1 else 0.0
            axis.plot(
                [number + shift for number, part in enumerate(parts) if part in known],
                [known[part] for part in parts if part in known],
                linestyle="none",
                marker=looks[name].marker,
                color=looks[name].colour,
                markerfacecolor=looks[name].face,
                markersize=3.5,
                label=name,
            )
        for number in range(0, len(parts), 2):
            axis.axvspan(number - 0.5, number + 0.5, color=BAND, zorder=-1, linewidth=0)
        axis.axhline(100 / classes, color=GREY, linestyle="--", linewidth=0.6, zorder=0)
        axis.annotate("chance", (0.01, 100 / classes), xycoords=("axes fraction", "data"), va="bottom", color=GREY, size=6)
        axis.set_xticks(
            range(len(parts)), [_under(first[part], classes) for part in parts], fontsize=5.5 if len(parts) > 6 else 6.5
        )
        axis.set_xlim(-0.5, len(parts) - 0.5)
        axis.set_xlabel(UNITS.get(division, division))
        axis.set_ylabel("UA (%)")
        head_legend(figure, *axis.get_legend_handles_labels())
    return figure


def _under(score: PartScore, classes: int) -> str:
    lacks = "\nlacks a class" if score.classes < classes else ""
    return f"{score.part}\nn={score.utterances:,}{lacks}"
