import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mer.extract import frame_ranges, segment_means
from mer.extract.segments import joined_ranges

WAV2VEC2 = {"sample_rate": 16_000, "stride": 320, "length": 400}


def frames_by_centre(start_ms: int, end_ms: int, frames: int) -> tuple[int, int]:
    """The rule in words: frames whose centre, 20 f + 12.5 ms, lies in [start, end); at least one, inside the audio."""
    inside = [f for f in range(frames) if start_ms <= 20 * f + 12.5 < end_ms]
    if inside:
        return inside[0], inside[-1] + 1
    following = next((f for f in range(frames) if 20 * f + 12.5 >= start_ms), frames - 1)
    return following, following + 1


@given(
    frames=st.integers(1, 60),
    bounds=st.lists(st.tuples(st.integers(0, 1400), st.integers(1, 400)), min_size=1, max_size=8),
)
def test_a_segment_holds_the_frames_whose_centre_it_covers(frames: int, bounds: list[tuple[int, int]]) -> None:
    spans = np.array([(start, start + duration) for start, duration in bounds], dtype=np.int64)
    found = frame_ranges(spans, frames, **WAV2VEC2)
    assert [tuple(row) for row in found.tolist()] == [frames_by_centre(s, e, frames) for s, e in spans.tolist()]


@given(cuts=st.lists(st.integers(3, 120).map(lambda n: 10 * n), min_size=2, max_size=20, unique=True))
def test_neighbours_share_no_frame_and_leave_none_out(cuts: list[int]) -> None:
    cuts = sorted(cuts)
    cuts = [cut for i, cut in enumerate(cuts) if i == 0 or cut - cuts[i - 1] >= 20]
    spans = np.array(list(itertools.pairwise(cuts)), dtype=np.int64).reshape(-1, 2)
    found = frame_ranges(spans, 10_000, **WAV2VEC2)
    assert (found[1:, 0] == found[:-1, 1]).all()


@pytest.mark.parametrize("hundredths", [58, 114, 116, 226])
def test_times_that_floats_get_wrong_come_out_right(hundredths: int) -> None:
    # floor(t * 50) is one too low for these; the frame whose centre follows t is (20 t - 12.5) / 20, rounded up
    found = frame_ranges(np.array([[hundredths * 10, hundredths * 10 + 100]]), 1000, **WAV2VEC2)
    assert found[0, 0] == frames_by_centre(hundredths * 10, hundredths * 10 + 100, 1000)[0]


def test_a_segment_beyond_the_last_frame_gets_the_last_frame() -> None:
    assert frame_ranges(np.array([[990, 1000], [5_000, 6_000]]), 49, **WAV2VEC2).tolist() == [
        [48, 49],
        [48, 49],
    ]


def mean_reference(states: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Zhao 2022, section 2.1, with e exclusive: sum over f in [s, e) of h_f, over e - s; float64, plain loops."""
    out = np.zeros((len(ranges), *states.shape[1:]))
    for k, (s, e) in enumerate(ranges):
        for f in range(s, e):
            out[k] += states[f]
        out[k] /= e - s
    return out


@given(
    frames=st.integers(1, 30),
    layers=st.integers(1, 4),
    dim=st.integers(1, 5),
    count=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_segment_means_are_the_papers_formula(frames: int, layers: int, dim: int, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    states = random.normal(size=(frames, layers, dim))
    starts = random.integers(0, frames, size=count)
    ranges = np.stack([starts, [random.integers(s + 1, frames + 1) for s in starts]], axis=1).astype(np.int64).reshape(-1, 2)
    in64 = segment_means(torch.from_numpy(states), ranges)
    assert in64.dtype == torch.float64
    np.testing.assert_allclose(in64.numpy(), mean_reference(states, ranges), rtol=1e-12, atol=1e-12)
    in32 = segment_means(torch.from_numpy(states.astype(np.float32)), ranges)
    np.testing.assert_allclose(in32.numpy(), mean_reference(states, ranges), rtol=0, atol=2e-6)


def test_half_precision_frames_are_averaged_in_float32() -> None:
    states = torch.full((4096, 1, 1), 1.0, dtype=torch.bfloat16)
    states[::2] = 1.0078125
    found = segment_means(states, np.array([[0, 4096]]))
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(1.00390625, abs=1e-6)


def test_a_batch_in_one_call_equals_each_utterance_alone() -> None:
    states = [torch.randn(n, 2, 3, dtype=torch.float64) for n in (4, 9, 1)]
    ranges = [np.array([[0, 2], [1, 4]]), np.array([[8, 9]]), np.array([[0, 1]])]
    together = segment_means(torch.cat(states), joined_ranges(ranges, [0, 4, 13]))
    alone = torch.cat([segment_means(s, r) for s, r in zip(states, ranges, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-14, atol=1e-14)


def test_an_empty_segment_is_refused() -> None:
    with pytest.raises(ValueError, match=r"segment 1 has no frame: \[3, 3\]"):
        segment_means(torch.ones(5, 1, 1), np.array([[0, 2], [3, 3]]))
