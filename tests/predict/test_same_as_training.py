"""One code path, not two: what a saved run says now is what it said of its test utterances when it was trained."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mer.corpus import open_corpus
from mer.predict import Prediction, Predictor

RESULTS = (
    "late", "late-of-all", "by-speaker", "linear", "text", "transformer", "coattention", "coattention-by-speaker",
    "concatenation", "multi-level", "finetuned",
)  # fmt: skip


def test_every_kind_of_result_is_tried(trained: Any) -> None:
    assert set(trained.runs) == {*RESULTS, "ratings"}  # test_rated_recordings.py tries the last


@pytest.mark.parametrize("name", RESULTS)
def test_logits_are_those_that_training_wrote(
    name: str, trained: Any, loaded: Callable[..., Predictor], written_logits: Callable[..., Any]
) -> None:
    predictor = loaded(name)
    expected = written_logits(name)
    assert set(expected) == set(predictor.runs)
    corpus = open_corpus(trained.corpus)
    found = predictor.predict_many(corpus.utterances)
    logits = {each.id: each.logits for each in found if isinstance(each, Prediction)}
    assert len(logits) == len(corpus)
    for run, (utterances, written) in expected.items():
        now = np.array([logits[each.id][run] for each in utterances])
        # Batches differ from those of training, so that sums are taken in another order.
        np.testing.assert_allclose(now, written, rtol=1e-4, atol=1e-5)
        assert float(np.ptp(now, axis=0).max()) > 3e-4
