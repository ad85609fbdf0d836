"""How sure the answers of a result are, all its folds and seeds together."""

from dataclasses import replace

import numpy as np

from mer.protocol.answers import Answers, together
from mer.protocol.calibration import softmax
from mer.report.missing_measures import answers_of
from mer.report.reported_run import ReportedRun
from mer.results.run_answers import read_test_logits


def pooled_answers(run: ReportedRun) -> Answers:
    """Every answer of a finished result with its probabilities, and those at the temperature where every run has one.

    Raises:
        ResultError: the logits that the temperature divides are not what was written.
    """
    temperatures = {(str(each["fold"]), int(each["seed"])): each.get("temperature") for each in run.result["runs"]}
    found = answers_of(run.predictions, run.classes)
    if all(temperatures.get((each.fold, each.seed)) for each in found):
        logits = read_test_logits(run.directory, run.result)
        found = [
            replace(each, scaled=softmax(logits[each.fold, each.seed].logits / np.float64(temperatures[each.fold, each.seed])))
            for each in found
        ]
    return together(found)
