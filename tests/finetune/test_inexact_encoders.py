"""Encoders whose padded batches are not exact are never trained on them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer, FNetConfig, FNetModel

from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.trainable import load_encoders
from mer.finetune.utterance_dropout import utterance_dropout

NarrowConfig = Callable[..., FinetuneConfig]


@pytest.fixture
def fnet(text_encoder_folder: Path, tmp_path: Path) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(text_encoder_folder)
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "max_position_embeddings": 128}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        FNetModel(FNetConfig(vocab_size=len(tokenizer), hidden_dropout_prob=0.1, **sizes)).save_pretrained(tmp_path / "fnet")
    tokenizer.save_pretrained(tmp_path / "fnet")
    return tmp_path / "fnet"


def test_one_by_one_too_dropout_belongs_to_the_utterance(fnet: Path, narrow_config: NarrowConfig) -> None:
    text = load_encoders(replace(narrow_config(), modality="text", text_model=str(fnet))).text
    assert text is not None
    text.train()
    tokens, counts, seeds = torch.tensor([[5, 6, 7], [8, 9, 0]]), [3, 2], (11, 12)
    with utterance_dropout(seeds, 1, tokens.device):
        together = text(tokens, counts).states
    for row, count in enumerate(counts):
        with utterance_dropout(seeds[row : row + 1], 1, tokens.device):
            alone = text(tokens[row : row + 1, :count], [count]).states
        assert torch.equal(together[row, :count], alone[0])
    with utterance_dropout((13, 12), 1, tokens.device):
        other = text(tokens, counts).states
    assert not torch.equal(other[0], together[0])
    assert torch.equal(other[1], together[1])


def test_texts_of_an_encoder_that_mixes_a_batch_are_trained_one_by_one(fnet: Path, narrow_config: NarrowConfig) -> None:
    encoders = load_encoders(replace(narrow_config(), modality="text", text_model=str(fnet)))
    assert encoders.text is not None
    assert encoders.identity["text"]["batches"] == "one by one"
    assert len(encoders.notices) == 1
    assert "each goes through it alone" in encoders.notices[0]
    texts = [torch.tensor(ids) for ids in encoders.tokenize(["happy", "we lost it all, and i will not say it again"])]
    counts = [len(ids) for ids in texts]
    padded = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    encoders.text.eval()
    together = encoders.text(padded, counts)
    assert together.real is not None
    for row, (ids, count) in enumerate(zip(texts, counts, strict=True)):
        assert torch.equal(together.states[row, :count], encoders.text(ids[None], [count]).states[0])
    weight = next(encoders.text.model.parameters())
    together.means().square().sum().backward()
    found, weight.grad = weight.grad, None
    torch.stack([encoders.text(ids[None], [len(ids)]).means().square().sum() for ids in texts]).sum().backward()
    torch.testing.assert_close(found, weight.grad)
    encoders.text.one_by_one = False
    mixed = encoders.text(padded, counts).states[0, : counts[0]]
    assert float((mixed - together.states[0, : counts[0]]).detach().norm()) > 0.1


def test_other_encoders_have_nothing_to_say(narrow_config: NarrowConfig) -> None:
    encoders = load_encoders(narrow_config())
    assert encoders.notices == ()
    assert "batches" not in encoders.identity["text"]
    assert encoders.speech is not None
    assert encoders.speech.training


def test_a_speech_encoder_whose_padding_leaks_is_not_trained(
    narrow_config: NarrowConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer.extract.exact_padding.PerUtteranceGroupNorm.forward", lambda self, states: self.norm(states))
    with pytest.raises(
        FinetuneError, match="not trainable here, what it makes of an utterance depends on the others in its batch"
    ):
        load_encoders(narrow_config())


@pytest.mark.parametrize("spec_augment", [False, True])
def test_loading_draws_nothing_for_the_trial(
    spec_augment: bool, narrow_config: NarrowConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[object] = []
    monkeypatch.setattr("numpy.random.seed", drawn.append)
    before = torch.get_rng_state()
    load_encoders(replace(narrow_config(), spec_augment=spec_augment))
    assert drawn == []
    assert torch.equal(torch.get_rng_state(), before)


def test_an_adapter_is_left_out_of_training(narrow_config: NarrowConfig, tmp_path: Path) -> None:
    config = narrow_config(calm=True, modality="speech")
    with torch.random.fork_rng(devices=[]):
        model = AutoModel.from_pretrained(config.speech_model, add_adapter=True, output_hidden_size=48)
    model.save_pretrained(tmp_path)
    AutoFeatureExtractor.from_pretrained(config.speech_model).save_pretrained(tmp_path)
    waves, samples = torch.randn(2, 9000), [9000, 9000]
    states = []
    for folder in (config.speech_model, str(tmp_path)):
        speech = load_encoders(replace(config, speech_model=folder)).speech
        assert speech is not None
        states.append(speech(waves, samples).states)
    assert torch.equal(*states)
