"""Spectra of Whisper and w2v-BERT 2.0: those of `transformers`, and of float64 numpy."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import SeamlessM4TFeatureExtractor, WhisperFeatureExtractor

from mer.extract.families.wav2vec2_bert import filter_banks, normalised
from mer.extract.families.whisper import log_mel


def sounds(rows: int = 3, samples: int = 16_000) -> NDArray[np.float32]:
    random = np.random.default_rng(1)
    tone = np.sin(np.arange(samples) * 0.05)
    return np.stack([(k + 1) * 0.05 * (tone + random.normal(size=samples)) for k in range(rows)]).astype(np.float32)


@pytest.mark.parametrize("bands", [80, 128])
def test_whispers_spectra_are_those_of_transformers_bit_for_bit(bands: int) -> None:
    theirs = WhisperFeatureExtractor(feature_size=bands, chunk_length=1)
    short = sounds()
    short[1, 9_000:] = 0  # what padding with silence gives
    expected = theirs([*short[:1], short[1, :9_000], short[2]], sampling_rate=16_000, return_tensors="pt").input_features
    found = log_mel(torch.from_numpy(short), torch.from_numpy(theirs.mel_filters), length=400, hop=160)
    assert torch.equal(found, expected)


def test_whispers_spectra_are_those_of_numpy() -> None:
    filters = WhisperFeatureExtractor(feature_size=16).mel_filters
    waves = sounds(2).astype(np.float64)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    for wave, found in zip(waves, log_mel(torch.from_numpy(waves), torch.from_numpy(filters), length=400, hop=160), strict=True):
        padded = np.pad(wave, 200, mode="reflect")
        power = np.stack([np.abs(np.fft.rfft(padded[160 * m : 160 * m + 400] * hann)) ** 2 for m in range(100)], axis=1)
        expected = np.log10(np.maximum(filters.T @ power, 1e-10))
        expected = (np.maximum(expected, expected.max() - 8) + 4) / 4
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-10)


def test_filter_banks_are_those_of_transformers_over_own_samples() -> None:
    theirs = SeamlessM4TFeatureExtractor(feature_size=16, num_mel_bins=16)
    waves, lengths = sounds().astype(np.float32), [16_000, 9_700, 1_000]
    for row, length in enumerate(lengths):
        waves[row, length:] = 0
    spectra = filter_banks(
        torch.from_numpy(waves).double(), torch.from_numpy(theirs.mel_filters), torch.from_numpy(theirs.window)
    )
    own = torch.tensor([(length - 400) // 160 + 1 for length in lengths])
    normal = normalised(spectra, own)
    for row, length in enumerate(lengths):
        expected = theirs(waves[row, :length], sampling_rate=16_000, return_tensors="np", pad_to_multiple_of=None)
        pairs = int(own[row]) // 2
        assert expected.input_features.shape == (1, pairs, 32)
        np.testing.assert_allclose(normal[row, : 2 * pairs].reshape(pairs, 32), expected.input_features[0], atol=2e-4)
        assert not normal[row, own[row] :].any()
