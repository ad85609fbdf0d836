from collections import Counter

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mer.finetune.auxiliary import draw_pairing, pair_classes

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=24)


@given(labels=LABELS, seed=st.integers(0, 999))
def test_task_1_gives_every_audio_one_text_and_every_text_one_audio(labels: list[int], seed: int) -> None:
    pairing = draw_pairing(torch.tensor(labels), np.random.default_rng(seed))
    assert sorted(pairing.permutation.tolist()) == list(range(len(labels)))


@given(labels=LABELS, seed=st.integers(0, 999))
def test_task_1_labels_are_c_times_the_audios_class_plus_the_texts(labels: list[int], seed: int) -> None:
    pairing = draw_pairing(torch.tensor(labels), np.random.default_rng(seed))
    found = pair_classes(torch.tensor(labels), pairing.permutation, 4)
    for audio, text, pair in zip(range(len(labels)), pairing.permutation.tolist(), found.tolist(), strict=True):
        assert divmod(pair, 4) == (labels[audio], labels[text])


@given(labels=LABELS, seed=st.integers(0, 999))
def test_task_2_replaces_one_side_of_every_utterance_by_another_of_its_class(labels: list[int], seed: int) -> None:
    pairing = draw_pairing(torch.tensor(labels), np.random.default_rng(seed))
    counts = Counter(labels)
    owners = [utterance for utterance, label in enumerate(labels) if counts[label] > 1]
    assert pairing.lonely == len(labels) - len(owners)
    assert len(pairing.audio) == len(pairing.text) == len(owners)
    for owner, audio, text in zip(owners, pairing.audio.tolist(), pairing.text.tolist(), strict=True):
        assert owner in (audio, text)
        assert audio != text
        assert labels[audio] == labels[text] == labels[owner]


def test_nobody_has_a_partner_where_every_class_occurs_once() -> None:
    pairing = draw_pairing(torch.tensor([2, 0, 1]), np.random.default_rng(0))
    assert pairing.lonely == 3
    assert pairing.audio.dtype == pairing.text.dtype == pairing.permutation.dtype == torch.int64
    assert pairing.audio.shape == pairing.text.shape == (0,)


def test_every_permutation_partner_and_side_is_drawn_equally_often() -> None:
    rng, draws = np.random.default_rng(8), 6000
    permutations: Counter[tuple[int, ...]] = Counter()
    pairs: Counter[tuple[int, int]] = Counter()
    for _ in range(draws):
        pairing = draw_pairing(np.array([1, 1, 1, 0]), rng)
        permutations[tuple(pairing.permutation.tolist())] += 1
        pairs[int(pairing.audio[0]), int(pairing.text[0])] += 1
    assert len(permutations) == 24
    # five standard deviations of a binomial count
    assert max(abs(count - draws / 24) for count in permutations.values()) < 5 * np.sqrt(draws / 24)
    assert set(pairs) == {(0, 1), (0, 2), (1, 0), (2, 0)}
    assert max(abs(count - draws / 4) for count in pairs.values()) < 5 * np.sqrt(draws * 3 / 16)


def test_the_same_generator_gives_the_same_pairing() -> None:
    labels = torch.tensor([0, 1, 0, 1, 1, 2])
    first, again = (draw_pairing(labels, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(first.permutation, again.permutation)
    assert torch.equal(first.audio, again.audio)
    assert torch.equal(first.text, again.text)
