"""The rows of a table once for each part of the test utterances: by gender, length, number of votes, or any column."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from mer.protocol import RunPredictions, summarise
from mer.report.errors import ReportError
from mer.report.known_facts import known_facts
from mer.report.missing_measures import answers_of
from mer.report.page_sources import PageSources
from mer.report.part_scores import PARTS, part_order, parts_of
from mer.report.reported_run import ReportedRun
from mer.report.run_group import RunGroup
from mer.report.score_table import ScoreRow, ScoreTable
from mer.report.table_report import TableReport
from mer.report.utterance_facts import Facts

MOST = 100
"""Parts of a division; a column with more values is a name of each utterance rather than a part."""


def with_parts(report: TableReport, divisions: Sequence[str], sources: PageSources) -> TableReport:
    """The report with a table of parts for each division.

    Args:
        report: the rows.
        divisions: names of `PARTS`, or of columns of the corpus.
        sources: where corpus or cache are that say what an utterance belongs to.

    Raises:
        ReportError: neither is at hand, the rows predict ratings, or a division that no utterance or nearly every one has a
            value of its own of.
    """
    if not divisions:
        return report
    group = report.group
    if group.rated:
        raise ReportError(
            f"--by {', '.join(divisions)}: {group.title} predicts ratings, whose parts are not scored; leave it out"
        )
    keys = {str(run.result["cache_key"]) for run in group.finished if run.result.get("cache_key")}
    wanted = {each.id for run in group.finished for each in run.predictions}
    facts = known_facts(wanted, group.corpus, keys, sources)
    if not facts:
        raise ReportError(
            f"--by {', '.join(divisions)}: neither the corpus {group.corpus!r} nor a feature cache of these runs is at hand "
            "to say which utterance is of which part; give --corpus or --cache"
        )
    return replace(report, by={each: _by(group, each, facts) for each in dict.fromkeys(divisions)})


def _by(group: RunGroup, division: str, facts: Facts) -> ScoreTable:
    """Every measure of each finished row on each part."""
    parts = known_parts(facts, division)
    rows = [row for run in group.finished for row in _rows(run, parts)]
    return ScoreTable(title=f"{group.title}, by {division}", synthetic=group.synthetic, rows=tuple(rows))


def known_parts(facts: Facts, division: str) -> dict[str, str]:
    """Utterance id to its part, empty where that is unknown.

    Raises:
        ReportError: no utterance has one, or there are too many to be parts; what there is is listed.
    """
    parts = parts_of(facts, division)
    count = len(set(parts.values()) - {""})
    if 0 < count <= MOST:
        return parts
    columns = dict.fromkeys(name for each in facts.values() for name in each.columns)
    sizes = {name: len(set(parts_of(facts, name).values()) - {""}) for name in dict.fromkeys([*PARTS, *columns])}
    there = ", ".join(f"{name} ({size})" for name, size in sizes.items() if 0 < size <= MOST)
    what = f"has {count:,} values, more than {MOST} parts" if count else "is said of no utterance"
    raise ReportError(f"--by {division}: {division!r} {what}; there are (with their number of parts): {there}")


def _rows(run: ReportedRun, parts: Mapping[str, str]) -> list[ScoreRow]:
    answers = answers_of(run.predictions, run.classes)
    found = []
    for part in part_order([each for each in parts.values() if each]):
        chosen = [(each, np.array([parts.get(name) == part for name in each.ids], dtype=np.bool_)) for each in answers]
        runs = [
            RunPredictions(fold=each.fold, seed=each.seed, styles=("",) * int(which.sum()), **vars(each.chosen(which)))
            for each, which in chosen
            if which.any()
        ]
        if not runs:
            continue
        scores = summarise(runs, run.classes).all
        lacks = [name for place, name in enumerate(run.classes) if not any((each.truth == place).any() for each in runs)]
        found.append(
            ScoreRow(
                name=f"{run.name}: {part}",
                part=part,
                status="done",
                note=f"it has no {', '.join(lacks)}, so that its UA and F1 are of fewer classes" if lacks else "",
                utterances=scores.utterances,
                runs=len(runs),
                measures={name: asdict(each) for name, each in scores.measures.items()},
            )
        )
    return found
