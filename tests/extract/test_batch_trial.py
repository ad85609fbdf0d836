"""Encoders whose padded batches are not exact are found when they are loaded, and run one by one."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from mer.cache import open_cache
from mer.corpus.manifest import read_manifest
from mer.extract import EncoderError, ExtractConfig, Resources, SpeechEncoder, TextEncoder, extract
from mer.extract.batch_trial import ROUNDING_STEPS, batches_are_exact

# transformers 5.0 scripts parts of DeBERTa and ModernBERT at import, which present versions of PyTorch warn about.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
}
INEXACT: dict[str, dict[str, Any]] = {
    "fnet": {},
    "convbert": {"embedding_size": 32},
    "mobilebert": {"embedding_size": 32, "intra_bottleneck_size": 16},
    "nystromformer": {"num_landmarks": 16, "segment_means_seq_len": 16},
}
EXACT: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 24},
    "bert": {},
    "deberta-v2": {},
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48},
    "electra": {"embedding_size": 24},
    "modernbert": {"pad_token_id": 0},
    "mpnet": {},
    "roberta": {},
    "roberta-prelayernorm": {},
}
TEXTS = ["happy", "we lost it all, and i will not say it again: leave me alone", "the station at noon"]

MakeText = Callable[[str], Path]


@pytest.fixture(scope="session")
def text_folder(text_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeText:
    """Folder of a small text encoder of one type with random weights, with the tokenizer of the small BERT."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            place = tmp_path_factory.mktemp("text") / kind
            tokenizer = AutoTokenizer.from_pretrained(text_encoder_folder)
            known = AutoConfig.for_model(kind)
            sizes = {name: value for name, value in SIZES.items() if hasattr(known, name)}
            config = AutoConfig.for_model(kind, **(sizes | (INEXACT | EXACT)[kind]), vocab_size=len(tokenizer))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                model = AutoModel.from_config(config)
                for parameter in model.parameters():
                    if parameter.dim() > 1:
                        torch.nn.init.normal_(parameter, std=0.3)
            model.save_pretrained(place)
            tokenizer.save_pretrained(place)
            made[kind] = place
        return made[kind]

    return folder


def alone_and_together(encoder: TextEncoder | SpeechEncoder, inputs: list[Any]) -> float:
    """Largest relative distance over inputs and layers."""
    distances = []
    for found, item in zip(encoder(inputs), inputs, strict=True):
        alone = encoder([item])[0].double()
        distances.append(float(((found.double() - alone).norm(dim=(0, 2)) / alone.norm(dim=(0, 2))).max()))
    return max(distances)


@pytest.mark.parametrize("kind", INEXACT)
def test_text_encoders_that_mix_a_batch_run_one_by_one_and_say_so(kind: str, text_folder: MakeText) -> None:
    encoder = TextEncoder(str(text_folder(kind)), layers=range(4))
    assert encoder.one_by_one
    assert encoder.identity["batches"] == "one by one"
    assert encoder.notice is not None
    assert "depend on the others" in encoder.notice
    tokens = encoder.tokenize(TEXTS)
    assert alone_and_together(encoder, tokens) == 0
    encoder.one_by_one = False
    assert alone_and_together(encoder, tokens) > 1e-3


@pytest.mark.parametrize("kind", EXACT)
def test_other_text_encoders_keep_their_batches_and_their_key(kind: str, text_folder: MakeText) -> None:
    encoder = TextEncoder(str(text_folder(kind)), layers=range(4))
    assert not encoder.one_by_one
    assert "batches" not in encoder.identity
    assert encoder.notice is None
    assert 0 < alone_and_together(encoder, encoder.tokenize(TEXTS)) < 5e-6


def test_a_text_longer_than_robertas_usable_positions_is_refused(text_folder: MakeText) -> None:
    encoder = TextEncoder(str(text_folder("roberta")))
    assert encoder.max_tokens == 126
    encoder(encoder.tokenize(["a " * 124]))
    with pytest.raises(ValueError, match="127 wordpieces; the encoder takes 126"):
        encoder(encoder.tokenize(["a " * 125]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_trial_says_the_same_in_every_precision(dtype: torch.dtype, text_folder: MakeText) -> None:
    assert TextEncoder(str(text_folder("fnet")), dtype=dtype).one_by_one
    encoder = TextEncoder(str(text_folder("roberta")), dtype=dtype)
    assert not encoder.one_by_one
    assert encoder(encoder.tokenize(["happy"]))[0].dtype == dtype


def test_a_mask_that_does_not_arrive_is_found(text_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.models.bert.modeling_bert.create_bidirectional_mask", lambda **options: None)
    encoder = TextEncoder(str(text_encoder_folder))
    assert encoder.one_by_one
    assert alone_and_together(encoder, encoder.tokenize(TEXTS)) == 0


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm", "wav2vec2-layer-norm", "hubert-layer-norm", "wavlm-layer-norm"])
def test_speech_encoders_of_the_family_keep_their_batches(kind: str, speech_encoder_folder: Callable[[str], Path]) -> None:
    encoder = SpeechEncoder(str(speech_encoder_folder(kind)))
    assert not encoder.one_by_one
    assert encoder.notice is None


def test_a_speech_encoder_whose_padding_leaks_runs_one_by_one(
    speech_encoder_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer.extract.exact_padding.PerUtteranceGroupNorm.forward", lambda self, states: self.norm(states))
    encoder = SpeechEncoder(str(speech_encoder_folder("wav2vec2")))
    assert encoder.one_by_one
    assert encoder.identity["batches"] == "one by one"
    assert encoder.notice is not None
    assert "--speech-model" in encoder.notice
    random = np.random.default_rng(1)
    waves = [encoder.prepare(random.normal(size=count).astype(np.float32)) for count in (6000, 16_000)]
    assert alone_and_together(encoder, waves) == 0


def test_the_trial_draws_nothing_from_the_global_generators(text_folder: MakeText, speech_encoder_folder: Any) -> None:
    encoders = TextEncoder(str(text_folder("fnet"))), SpeechEncoder(str(speech_encoder_folder("wav2vec2")))
    before = torch.get_rng_state(), np.random.get_state(legacy=True)  # noqa: NPY002
    assert [encoder._try_batch() for encoder in encoders] == [False, True]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(np.random.get_state(legacy=True)) == str(before[1])  # noqa: NPY002


def test_an_encoder_that_draws_at_random_is_refused() -> None:
    with pytest.raises(EncoderError, match=r"--text-model x: gives the same input other numbers the second time"):
        batches_are_exact("--text-model x", lambda number: torch.rand(3, 1, 4), list)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_counts_as_the_same_follows_from_the_precision(dtype: torch.dtype) -> None:
    states = torch.ones(3, 2, 4, dtype=dtype)
    step = torch.finfo(dtype).eps

    def off(steps: float) -> bool:
        moved = states.clone()
        moved[:, 1] += steps * step
        return batches_are_exact("x", lambda number: states, lambda: [states, moved])

    assert off(ROUNDING_STEPS / 2)
    assert not off(ROUNDING_STEPS * 2)


def test_an_utterance_has_the_same_numbers_whatever_it_is_extracted_with(
    text_folder: MakeText, make_manifest: Callable[..., Path], tmp_path: Path
) -> None:
    corpus = read_manifest(make_manifest(count=6))
    few = type(corpus)(name="few", kind=corpus.kind, synthetic=False, utterances=corpus.utterances[:1])
    folder = tmp_path / "fnet"
    shutil.copytree(text_folder("fnet"), folder)
    config = ExtractConfig(text_model=str(folder), granularities=("T",), storage="float32")
    said: list[str] = []
    found = [
        extract(each, config, tmp_path / "features", resources=Resources(workers=1, device="cpu"), on_notice=said.append)
        for each in (corpus, few)
    ]
    caches = [open_cache(each.folder) for each in found]
    first = corpus.utterances[0].id
    assert np.array_equal(caches[0].read(first, "T"), caches[1].read(first, "T"))
    assert len(said) == 2
    assert all("each goes through it alone" in each for each in said)
    assert caches[0].provenances[0]["encoded"] == {"text": "one by one"}
