"""One result out of many runs that predict ratings: every measure with its mean and spreads, and each style on its own."""

from collections.abc import Sequence

from mer.protocol.concordance import RatedRun, joined
from mer.protocol.metrics import rated
from mer.protocol.summary import Scores, Summary, keys_of, score_of


def summarise_ratings(runs: Sequence[RatedRun]) -> Summary:
    """Score finished runs together, as `summarise` does for classes.

    Args:
        runs: at least one; one per (fold, seed), all of the same dimensions.

    Raises:
        ProtocolError: no runs, or a (fold, seed) twice.
    """
    keys = keys_of(runs)
    styles = sorted({style for run in runs for style in run.styles} - {""})
    return Summary(
        classes=runs[0].dimensions,
        folds=tuple(dict.fromkeys(fold for fold, _ in keys)),
        seeds=tuple(sorted({seed for _, seed in keys})),
        runs=len(runs),
        all=_scores(runs),
        styles={style: _scores([run.of_style(style) for run in runs]) for style in styles},
        recall={},
        confusion=(),
    )


def _scores(runs: Sequence[RatedRun]) -> Scores:
    """Scores of (fold, seed) runs; a fold without any utterance of the style takes no part."""
    cells = {(run.fold, run.seed): run for run in runs if len(run.truth)}
    by_fold = {fold: run for (fold, _), run in cells.items()}
    seeds = sorted({seed for _, seed in cells})
    complete = [[cells.get((fold, seed)) for fold in by_fold] for seed in seeds]
    merged = [rated(joined([run for run in each if run])) for each in complete if None not in each]
    values = {key: rated(run) for key, run in cells.items()}
    return Scores(
        utterances=sum(len(run.truth) for run in by_fold.values()),
        measures={
            name: score_of({key: each[name] for key, each in values.items()}, [each[name] for each in merged])
            for name in next(iter(values.values()), {})
        },
        absent=(),
    )
