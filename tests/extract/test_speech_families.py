"""Every family of speech encoders: batches, layers, masks and times, on a small random encoder of the real class."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModel

from mer.cache import open_cache
from mer.corpus.manifest import read_manifest
from mer.extract import SPEECH_FAMILIES, ExtractConfig, Resources, SpeechEncoder, extract
from mer.tests.extract.conftest import Make, MakeManifest
from mer.tests.extract.small_families import LAYERS, SPEECH, preprocessor

SAMPLES = (900, 9_700, 15_999, 5_123, 13_000)
"""Of utterances; some make an odd number of spectra or frames."""


def waves(samples: tuple[int, ...] = SAMPLES) -> list[NDArray[np.float32]]:
    """Noise, each with its own loudness and offset."""
    random = np.random.default_rng(5)
    return [(random.uniform(0.05, 0.5) * random.normal(size=n) + random.uniform(-0.1, 0.1)).astype(np.float32) for n in samples]


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest relative L2 distance over the layers. Both (frames, layers, dim)."""
    difference = (found.double() - expected.double()).norm(dim=(0, 2))
    return float((difference / expected.double().norm(dim=(0, 2))).max())


def test_every_registered_family_has_a_small_encoder() -> None:
    assert {kind for kind, _ in SPEECH.values()} == set(SPEECH_FAMILIES)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize("kind", SPEECH)
def test_a_batch_equals_one_by_one_in_every_layer(kind: str, dtype: torch.dtype, tolerance: float, encoder_of: Make) -> None:
    encoder = encoder_of(kind, dtype)
    assert encoder.one_by_one is (kind == "sew")
    assert (encoder.notice is not None) is encoder.one_by_one
    prepared = [encoder.prepare(wave) for wave in waves()]
    for found, wave in zip(encoder(prepared), prepared, strict=True):
        alone = encoder([wave])[0]
        assert found.dtype == dtype
        assert found.shape == alone.shape == (encoder.frame_count(len(wave)), LAYERS + 1, encoder.dim)
        far = relative(found, alone)
        if far < tolerance:
            continue
        # Some processors round further: then no further apart than either is from float64, and nothing near a broken mask's.
        assert dtype == torch.float32
        rounded = relative(alone, encoder_of(kind, torch.float64)([wave])[0])
        assert far < min(2 * rounded, 5e-6)


@torch.inference_mode()
def by_transformers(kind: str, folder: Path, wave: NDArray[np.float32], part: str) -> list[Tensor]:
    """Layer 1 to N of one utterance with the checkpoint's own preprocessor, (frames, dim) each."""
    inputs = preprocessor(kind)(wave, sampling_rate=16_000, return_tensors="pt")
    if kind != "wav2vec2-bert":  # which makes a frame of one spectrum at the end of an odd number, and masks it
        inputs.pop("attention_mask", None)
    model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    states: list[Tensor] = []
    encoder = model.get_submodule(part)
    for block in encoder.layers:
        block.register_forward_hook(
            lambda module, given, output: states.append(output if isinstance(output, Tensor) else output[0])
        )
    if kind == "whisper":
        last = encoder(**inputs).last_hidden_state
    else:
        last = model(**inputs).last_hidden_state
    return [state[0] for state in (*states[:-1], states[-1] if kind == "sew" else last)]


@pytest.mark.parametrize("kind", SPEECH)
def test_one_utterance_has_the_layers_of_transformers(kind: str, encoder_of: Make, family_folder: Callable[[str], Path]) -> None:
    encoder, wave = encoder_of(kind, torch.float32), waves()[1]
    found = encoder([encoder.prepare(wave)])[0][:, 1:]
    theirs = torch.stack([layer[: len(found)] for layer in by_transformers(kind, family_folder(kind), wave, "encoder")], dim=1)
    assert theirs.shape == found.shape
    if kind == "wav2vec2-bert":  # whose spectra transformers rounds to float32 before their logarithm's statistics
        assert 0 < relative(found, theirs) < 1e-4
    else:
        assert torch.equal(found, theirs)


def newer_masks(encoder: SpeechEncoder) -> str:
    """The module of the model, where this version of transformers makes masks in the way that is broken here."""
    module = type(encoder.model).__module__
    if not hasattr(sys.modules[module], "create_bidirectional_mask"):
        pytest.skip("this version of transformers makes its masks elsewhere; batches are held against single waves above")
    return module


def unmasked(encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    module = newer_masks(encoder)
    monkeypatch.setattr(f"{module}.create_bidirectional_mask", lambda **kwargs: None)


def no_zeros(encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mer.extract.exact_padding.ExactPadding.zeroed", lambda self, states: states)


def all_spectra(encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    from mer.extract.families import wav2vec2_bert as family

    own = family.normalised
    monkeypatch.setattr(family, "normalised", lambda spectra, count: own(spectra, torch.full_like(count, spectra.shape[1])))


def loud_padding(encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row goes on into the next one's audio, rather than into silence."""
    own = torch.Tensor.reshape

    def reshape(states: Tensor, *shape: int) -> Tensor:
        return own(states + 0.1 * states.roll(1, 0), *shape) if shape == (-1, 16_000) else own(states, *shape)

    monkeypatch.setattr(torch.Tensor, "reshape", reshape)


def together(encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    newer_masks(encoder)
    encoder.one_by_one = False


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("wav2vec2-conformer", no_zeros),
        ("wav2vec2-conformer", unmasked),
        ("unispeech-sat", unmasked),
        ("unispeech", unmasked),
        ("wav2vec2-bert", unmasked),
        ("wav2vec2-bert", all_spectra),
        ("whisper", loud_padding),
        ("sew", together),
    ],
)
def test_without_any_one_of_the_masks_a_batch_is_wrong(
    kind: str,
    broken: Callable[[SpeechEncoder, pytest.MonkeyPatch], None],
    family_folder: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = SpeechEncoder(str(family_folder(kind)), dtype=torch.float64)
    prepared = [encoder.prepare(wave) for wave in waves()]
    alone = [encoder([wave])[0] for wave in prepared]
    broken(encoder, monkeypatch)
    assert max(relative(found, expected) for found, expected in zip(encoder(prepared), alone, strict=True)) > 1e-6


FRONT_END = {"whisper": "conv2", "wav2vec2-bert": "feature_projection.layer_norm", "sew": "encoder.pool"}
"""Where frames are made, before positions and attention reach further; `feature_extractor` in all others."""


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm", "wav2vec2-conformer", *FRONT_END])
def test_an_impulse_moves_the_frames_around_it(kind: str, encoder_of: Make) -> None:
    """Their mean time is the impulse's: a stride or an offset that is wrong by a third of a frame is seen."""
    encoder, family = encoder_of(kind), encoder_of(kind).checkpoint
    base = waves((15_990,))[0]
    seen: list[Tensor] = []
    front = encoder.model.get_submodule(FRONT_END.get(kind, "feature_extractor"))
    handle = front.register_forward_hook(lambda module, inputs, output: seen.append(output[0]))
    places = range(2_000, 14_000, 970)
    try:
        for place in [None, *places]:
            wave = base.copy()
            if place is not None:
                wave[place : place + 2] += np.array([0.4, -0.4], np.float32)
            encoder([wave])
    finally:
        handle.remove()
    frames = [each if kind == "wav2vec2-bert" else each.T for each in seen]
    late: list[float] = []
    for place, moved in zip(places, frames[1:], strict=True):
        change = (moved - frames[0]).norm(dim=1).numpy()
        change[change < 0.2 * change.max()] = 0  # group norms and normalised bands move all of them a little
        centres = family.frame_offset + family.frame_stride * np.arange(len(change)) + family.frame_length / 2
        assert abs(centres[change > 0] - place).max() <= 2 * family.frame_stride
        late.append(float((change * centres).sum() / change.sum() - place))
    assert abs(sum(late) / len(late)) < family.frame_stride / 3


def test_segments_of_whisper_and_wav2vec2_agree_in_number_and_span(
    make_manifest: MakeManifest, family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    corpus = read_manifest(make_manifest(3, seconds=(0.6, 2.4)))
    caches = []
    for kind in ("whisper", "wav2vec2"):
        config = ExtractConfig(speech_model=str(family_folder(kind)), granularities=("F", "P", "S", "W"))
        result = extract(corpus, config, tmp_path / kind, resources=Resources(device="cpu", workers=1))
        caches.append(open_cache(result.folder))
        assert ("longer than 1 s, read in windows" in result.conversions) is (kind == "whisper")
    for name in caches[0].utterances.ids:
        for tier in ("P", "S", "W"):
            ours, theirs = (each.spans(name, tier) for each in caches)
            assert np.array_equal(ours, theirs)
            assert len(caches[0].read(name, tier)) == len(caches[1].read(name, tier)) == len(ours)
        frames, theirs_frames = (len(each.read(name, "F")) for each in caches)
        assert 0 <= frames - theirs_frames <= 2
