import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.utils.class_weight import compute_class_weight

from mer.heads import HeadConfig
from mer.heads.emotion_loss import emotion_loss, losses
from mer.protocol.class_weights import BETA, class_weights

TRUTH = np.array([0, 0, 0, 0, 0, 1, 1, 2, 2, 2], dtype=np.int64)
COUNTS = np.bincount(TRUTH).astype(np.float64)
LOGITS = torch.from_numpy(np.random.default_rng(0).normal(size=(10, 3)) * 3)


def loss_reference(logits: np.ndarray, shares: np.ndarray, weights: np.ndarray, gamma: float) -> list[float]:
    """sum_c q_c w_c (1 - p_c)^gamma (-log p_c) in float64, term by term."""
    found = []
    for row, share in zip(logits, shares, strict=True):
        total = sum(math.exp(each) for each in row)
        found.append(
            sum(
                q * w * (1 - math.exp(z) / total) ** gamma * -math.log(math.exp(z) / total)
                for z, q, w in zip(row, share, weights, strict=True)
            )
        )
    return found


def test_weights_are_those_of_scikit_learn_and_of_the_effective_number() -> None:
    balanced: Any = class_weights("balanced", COUNTS)
    np.testing.assert_allclose(balanced, compute_class_weight("balanced", classes=np.arange(3), y=TRUTH), rtol=1e-15)
    numbers = [sum(BETA**step for step in range(int(count))) for count in COUNTS]  # E_n = 1 + beta + ... + beta^(n - 1)
    expected = [3 / number / sum(1 / each for each in numbers) for number in numbers]
    effective: Any = class_weights("effective", COUNTS)
    np.testing.assert_allclose(effective, expected, rtol=1e-12)
    assert class_weights("none", COUNTS) is None
    assert class_weights("balanced", np.array([2.0, 0.0])).tolist() == [0.5, 0.0]  # type: ignore[union-attr]


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("soft", [False, True])
def test_the_loss_is_the_formula_in_float64(gamma: float, soft: bool) -> None:
    weights = np.array([0.5, 2.0, 1.25])
    shares = np.random.default_rng(1).dirichlet(np.ones(3), 10) if soft else np.eye(3)[TRUTH]
    truth = torch.from_numpy(shares if soft else TRUTH)
    found: Any = losses(LOGITS, truth, weights=torch.from_numpy(weights), gamma=gamma)
    np.testing.assert_allclose(found, loss_reference(LOGITS.numpy(), shares, weights, gamma), rtol=1e-12)
    plain: Any = losses(LOGITS, truth)
    np.testing.assert_allclose(plain, loss_reference(LOGITS.numpy(), shares, np.ones(3), 0), rtol=1e-12)


def test_a_certain_answer_has_a_slope_in_the_focal_loss() -> None:
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    losses(logits, torch.tensor([0]), gamma=0.5).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("asked", [{}, {"class_weights": "balanced"}, {"loss": "focal", "class_weights": "effective"}])
def test_a_distribution_that_is_sure_is_the_class_number_bit_for_bit(asked: Any) -> None:
    grads: list[Any] = []
    values: list[Any] = []
    config = HeadConfig(**asked)
    for truth in (TRUTH, np.eye(3, dtype=np.float32)[TRUTH]):
        logits = LOGITS.float().requires_grad_()
        loss = emotion_loss(config, truth, np.arange(7), 3, torch.device("cpu")).each(np.arange(10), logits)
        loss.mean().backward()
        values.append(loss.detach())
        grads.append(logits.grad)
    assert torch.equal(values[0], values[1])
    assert torch.equal(grads[0], grads[1])


def test_only_the_training_part_decides_the_weights_and_plain_is_pytorchs_own() -> None:
    balanced = emotion_loss(HeadConfig(class_weights="balanced"), TRUTH, np.arange(7), 3, torch.device("cpu"))
    weights: Any = balanced.weights
    np.testing.assert_allclose(weights, [7 / 15, 7 / 6, 0], rtol=1e-6)
    plain = emotion_loss(HeadConfig(), TRUTH, np.arange(7), 3, torch.device("cpu"))
    assert plain.plain
    assert plain.mean(np.arange(10), LOGITS) == float(F.cross_entropy(LOGITS, torch.from_numpy(TRUTH)))
