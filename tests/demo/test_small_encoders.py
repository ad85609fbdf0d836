import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

from mer.corpus import remove_tags
from mer.corpus.iemocap import read_iemocap
from mer.corpus.synthetic import write_synthetic_corpus
from mer.demo.small_encoders import (
    SmallEncoderError,
    SpeechKind,
    write_small_speech_encoder,
    write_small_text_encoder,
)

TEXTS = ["I can't believe it.", "How dare you!", "We sat in the garden."]
KINDS: tuple[SpeechKind, ...] = ("wav2vec2", "wav2vec2-layer-norm", "wavlm", "hubert")


@pytest.mark.parametrize("kind", KINDS)
def test_speech_encoders_load_offline_with_twelve_layers(tmp_path: Path, kind: SpeechKind) -> None:
    write_small_speech_encoder(tmp_path / "speech", kind=kind)
    model, loading = AutoModel.from_pretrained(
        tmp_path / "speech", local_files_only=True, output_loading_info=True, dtype=torch.float32
    )
    assert list(loading["missing_keys"]) == []
    with torch.inference_mode():
        states = model(torch.randn(1, 16_000), output_hidden_states=True).hidden_states
    assert [state.shape for state in states] == [(1, 49, 64)] * 13
    assert all(torch.isfinite(state).all() for state in states)


@pytest.mark.parametrize(("kind", "norm"), [("wav2vec2", "group"), ("wav2vec2-layer-norm", "layer"), ("hubert", "group")])
def test_group_norm_encoders_take_no_attention_mask(tmp_path: Path, kind: SpeechKind, norm: str) -> None:
    write_small_speech_encoder(tmp_path, kind=kind)
    assert json.loads((tmp_path / "config.json").read_text())["feat_extract_norm"] == norm
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path, local_files_only=True)
    assert extractor.do_normalize is True
    assert extractor.return_attention_mask is (norm == "layer")
    assert extractor.sampling_rate == 16_000


def write_speech(folder: Path, seed: int) -> None:
    write_small_speech_encoder(folder, seed=seed)


def write_text(folder: Path, seed: int) -> None:
    write_small_text_encoder(folder, TEXTS, seed=seed)


@pytest.mark.parametrize("write", [write_speech, write_text])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, write: Callable[[Path, int], None]) -> None:
    for name, seed in (("one", 4), ("again", 4), ("other", 5)):
        write(tmp_path / name, seed)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "other"))
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("write", [write_speech, write_text])
def test_the_global_random_state_stays(tmp_path: Path, write: Callable[[Path, int], None]) -> None:
    before = torch.random.get_rng_state()
    write(tmp_path / "encoder", 0)
    torch.testing.assert_close(torch.random.get_rng_state(), before)


def test_the_text_encoder_knows_its_texts(tmp_path: Path) -> None:
    write_small_text_encoder(tmp_path, TEXTS)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    model, loading = AutoModel.from_pretrained(tmp_path, local_files_only=True, output_loading_info=True)
    assert list(loading["missing_keys"]) == []
    for text in TEXTS:
        tokens = tokenizer(text, return_tensors="pt")
        pieces = tokenizer.convert_ids_to_tokens(tokens["input_ids"][0])
        assert (pieces[0], pieces[-1]) == ("[CLS]", "[SEP]")
        assert "[UNK]" not in pieces
        with torch.inference_mode():
            states = model(**tokens, output_hidden_states=True).hidden_states
        assert [state.shape for state in states] == [(1, len(pieces), 64)] * 13


def test_new_words_fall_into_letters_and_unknown_letters_are_unknown(tmp_path: Path) -> None:
    write_small_text_encoder(tmp_path, TEXTS)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert tokenizer.tokenize("Sat bad ж.") == ["sat", "b", "##a", "##d", "[UNK]", "."]


def test_no_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SmallEncoderError, match="no texts to take a vocabulary from"):
        write_small_text_encoder(tmp_path, [])


@pytest.mark.parametrize("write", [write_speech, write_text])
def test_a_folder_in_use_is_refused(tmp_path: Path, write: Callable[[Path, int], None]) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SmallEncoderError, match=rf"{tmp_path}: not an empty folder; give a new one"):
        write(tmp_path, 0)
    assert (tmp_path / "config.json").read_text() == "{}"


def leave_one_session_out(
    features: NDArray[np.float64], labels: NDArray[np.str_], sessions: NDArray[np.str_]
) -> NDArray[np.float64]:
    """Logits for every utterance from the four other sessions; normalised on those."""
    logits = np.zeros((len(labels), 4))
    for session in np.unique(sessions):
        train = sessions != session
        mean, deviation = features[train].mean(0), features[train].std(0) + 1e-8
        probe = LogisticRegression(C=0.003, max_iter=2000)
        probe.fit((features[train] - mean) / deviation, labels[train])
        logits[~train] = probe.decision_function((features[~train] - mean) / deviation)
    return logits


def unweighted_accuracy(logits: NDArray[np.float64], labels: NDArray[np.str_]) -> float:
    classes = np.unique(labels)
    predicted = classes[logits.argmax(1)]
    return float(np.mean([(predicted[labels == label] == label).mean() for label in classes]))


@pytest.mark.slow
def test_random_encoders_carry_words_and_prosody_and_both_together_carry_more(tmp_path: Path) -> None:
    corpus = read_iemocap(write_synthetic_corpus(tmp_path / "corpus").root, labels=frozenset(("ang", "hap", "exc", "sad", "neu")))
    texts = [remove_tags(utterance.text or "") for utterance in corpus]
    write_small_speech_encoder(tmp_path / "speech")
    write_small_text_encoder(tmp_path / "text", texts)
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path / "speech")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "text")
    speech_model, text_model = (AutoModel.from_pretrained(tmp_path / name) for name in ("speech", "text"))

    def mean_over_time(states: tuple[torch.Tensor, ...]) -> NDArray[np.float64]:
        return torch.stack(states[1:])[:, 0].mean(1).flatten().numpy().astype(np.float64)

    speech, text = [], []
    with torch.inference_mode():
        for utterance, words in zip(corpus, texts, strict=True):
            wave, rate = soundfile.read(utterance.wav, dtype="float32")
            values = extractor(wave, sampling_rate=rate, return_tensors="pt").input_values
            speech.append(mean_over_time(speech_model(values, output_hidden_states=True).hidden_states))
            tokens = tokenizer(words, return_tensors="pt")
            text.append(mean_over_time(text_model(**tokens, output_hidden_states=True).hidden_states))
    labels = np.array([utterance.label.replace("exc", "hap") for utterance in corpus])
    sessions = np.array([utterance.session for utterance in corpus])
    by_speech = leave_one_session_out(np.stack(speech), labels, sessions)
    by_text = leave_one_session_out(np.stack(text), labels, sessions)
    alone = [unweighted_accuracy(by_speech, labels), unweighted_accuracy(by_text, labels)]
    together = unweighted_accuracy(by_speech + by_text, labels)
    shuffled = np.random.default_rng(0).permutation(labels)
    assert all(0.55 < accuracy < 0.80 for accuracy in alone), alone
    assert together > max(alone) + 0.04
    assert unweighted_accuracy(leave_one_session_out(np.stack(text), shuffled, sessions), shuffled) < 0.35
