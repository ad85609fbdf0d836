"""`mer predict --calibrated`: each run's logits over its own temperature."""

from pathlib import Path

import numpy as np
import pytest

from mer.predict.answer import Answer, make_prediction
from mer.predict.errors import PredictError
from mer.predict.loading import temperatures_of
from mer.protocol.calibration import softmax

DOCUMENT = {
    "runs": [{"fold": "1", "seed": 0, "temperature": 2.0}, {"fold": "1", "seed": 1, "temperature": 0.5}, {"fold": "2", "seed": 0}]
}


def test_probabilities_are_the_mean_over_runs_at_their_temperatures() -> None:
    logits = np.array([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0]])
    answer = Answer(logits=logits, seconds=1.0, notes=())
    temperatures = temperatures_of(DOCUMENT, [("1", 0), ("1", 1)], Path("run"))
    found = make_prediction("u", answer, ("fold1-seed0", "fold1-seed1"), ("a", "b", "c"), temperatures)
    expected = (softmax(logits[:1] / 2) + softmax(logits[1:] / 0.5))[0] / 2
    np.testing.assert_allclose(list(found.probabilities.values()), expected, rtol=1e-12)
    plain = make_prediction("u", answer, ("fold1-seed0", "fold1-seed1"), ("a", "b", "c"))
    np.testing.assert_allclose(list(plain.probabilities.values()), softmax(logits).mean(0), rtol=1e-12)
    assert found.logits == plain.logits


def test_a_run_without_a_temperature_is_refused() -> None:
    with pytest.raises(PredictError, match=r"run: 1 of 2 runs have no temperature, first fold2-seed0 .*leave --calibrated out"):
        temperatures_of(DOCUMENT, [("1", 0), ("2", 0)], Path("run"))
