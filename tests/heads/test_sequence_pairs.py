from unittest.mock import patch

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.heads.stacked.sequence_pairs import FREE_PAIRS, PADDING_SHARE, pair_sequences

CPU = torch.device("cpu")
LENGTHS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 8)), min_size=1, max_size=40)


def tensors(pairs: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = zip(*pairs, strict=True)
    return torch.tensor(first), torch.tensor(second)


@settings(max_examples=60, deadline=None)
@given(pairs=LENGTHS)
def test_every_unit_has_one_slot_beside_its_own_utterance(pairs: list[tuple[int, int]]) -> None:
    """Units are numbered by utterance, so that a padded bucket shows who was put where."""
    lengths = tensors(pairs)
    with patch("mer.heads.stacked.sequence_pairs.FREE_PAIRS", 0):  # so short they would all be one bucket
        sides = pair_sequences(*lengths, CPU)
    seen: list[int] = []
    owners = [torch.arange(len(pairs)).repeat_interleave(each).double()[:, None] for each in lengths]
    places = [torch.cat([torch.arange(n) for n in each.tolist()]).double() for each in lengths]
    buckets = [side.pad(torch.cat([owner, place[:, None]], 1)) for side, owner, place in zip(sides, owners, places, strict=True)]
    assert len(buckets[0]) == len(buckets[1])
    for first, second in zip(*buckets, strict=True):
        utterances = first[:, 0, 0].long()
        seen += utterances.tolist()
        for units, length in ((first, lengths[0]), (second, lengths[1])):
            assert (units[:, :, 0] == utterances[:, None]).all()
            for row, utterance in zip(units, utterances, strict=True):
                own = int(length[utterance])
                assert row[:own, 1].tolist() == list(range(own))
                assert (row[own:, 1] == own - 1).all()
    assert sorted(seen) == list(range(len(pairs)))
    for side, units, counts in zip(sides, buckets, lengths, strict=True):
        rebuilt = side.pack(units)
        assert torch.equal(rebuilt[:, 0], torch.arange(len(pairs)).repeat_interleave(counts).double())
        masked = torch.cat([each.flatten() for each in side.penalties(rebuilt)])
        assert int((masked == 0).sum()) == int(counts.sum())
        assert (masked[~side.spare] == 0).all()
        assert torch.isneginf(masked[side.spare]).all()


@settings(max_examples=60, deadline=None)
@given(pairs=LENGTHS, free=st.sampled_from([0, 100, FREE_PAIRS]))
def test_no_bucket_wastes_more_than_its_share(pairs: list[tuple[int, int]], free: int) -> None:
    first, second = tensors(pairs)
    with patch("mer.heads.stacked.sequence_pairs.FREE_PAIRS", free):
        sides = pair_sequences(first, second, CPU)
    assert free < FREE_PAIRS or len(sides[0].shapes) == 1
    total = int((first * second).sum())
    place = 0
    order = np.lexsort((-second.numpy(), -first.numpy()))
    for (utterances, longest), (_, widest) in zip(sides[0].shapes, sides[1].shapes, strict=True):
        members = order[place : place + utterances]
        place += utterances
        true = int((first[members] * second[members]).sum())
        assert utterances * longest * widest - true <= max(PADDING_SHARE * total, free) or utterances == 1
        assert (longest, widest) == (int(first[members].max()), int(second[members].max()))


def test_padding_and_buckets_stay_few_for_lengths_as_in_iemocap() -> None:
    """Frames of 32 utterances, log-normal seconds (mean 4.55, median 3.58), meeting themselves."""
    random = np.random.default_rng(0)
    seconds = np.clip(random.lognormal(np.log(3.58), 0.69, 32), 0.6, 34)
    lengths = torch.from_numpy((50 * seconds).astype(np.int64))
    side, _ = pair_sequences(lengths, lengths, CPU)
    padded = sum(utterances * longest**2 for utterances, longest in side.shapes)
    assert padded < 1.25 * int((lengths**2).sum())
    assert len(side.shapes) <= 12


def test_gradients_pass_through_padding_and_packing_once() -> None:
    lengths = torch.tensor([3, 1, 4]), torch.tensor([2, 1, 1])
    side, _ = pair_sequences(*lengths, CPU)
    values = torch.randn(8, 2, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(0))

    def square(given: torch.Tensor) -> torch.Tensor:
        return side.pack([bucket**2 for bucket in side.pad(given)])

    assert torch.equal(square(values), values**2)
    assert torch.autograd.gradcheck(square, (values,))


def test_spare_slots_receive_no_gradient_and_give_none() -> None:
    lengths = torch.tensor([5] * 24 + [4])
    side, _ = pair_sequences(lengths, lengths, CPU)
    assert side.shapes == ((25, 5),)
    (bucket,) = side.pad(torch.ones(124, 1, requires_grad=True))
    bucket.retain_grad()
    torch.autograd.backward(side.pack([bucket]).sum())
    assert bucket.grad is not None
    assert bucket.grad.flatten().tolist() == [1.0] * 124 + [0.0]
    values = torch.ones(124, 1, requires_grad=True)
    (bucket,) = side.pad(values)
    torch.autograd.backward(bucket.sum())
    assert values.grad is not None
    assert (values.grad == 1).all()
