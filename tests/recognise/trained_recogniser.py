"""A small CTC recogniser of English letters, trained on synthesised speech in a minute or two.

It is of a real class, `Wav2Vec2BertForCTC`, whose input are log-mel spectra: one that hears samples would need hours.

    python -m mer.tests.recognise.trained_recogniser FOLDER

writes one.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertForCTC

from mer.corpus import Utterance, open_corpus
from mer.corpus.aligner.spelled_words import Vocabulary, spell
from mer.corpus.audio import read_wave
from mer.corpus.synthetic import write_synthetic_corpus
from mer.tests.recognise.small_recognisers import LETTERS, SPECIAL, write_letters

SEED = 11
"""Of the synthetic corpus that is trained on; the default seed's is for the test."""
UTTERANCES, STEPS, BATCH, WIDTH, LAYERS = 400, 700, 8, 96, 2
RATE = 2e-3
VOCABULARY = Vocabulary(symbols={letter: number for number, letter in enumerate(LETTERS, len(SPECIAL))}, blank=0, delimiter=4)


def write_trained(folder: Path, *, steps: int = STEPS, tell: Any = lambda step, loss: None) -> Path:
    """Train a recogniser and write it in Hugging Face format; the same numbers each time on one machine.

    Args:
        folder: new.
        steps: of training.
        tell: called with the step and its loss.
    """
    write_letters(folder, LETTERS)
    preprocessor = SeamlessM4TFeatureExtractor()
    with tempfile.TemporaryDirectory() as scratch:
        write_synthetic_corpus(Path(scratch) / "synthetic", utterances=UTTERANCES, seed=SEED)
        examples = list(_examples(list(open_corpus(Path(scratch) / "synthetic")), preprocessor))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = Wav2Vec2BertForCTC(_config()).train()
        _train(model, examples, steps, tell)
    model.eval().save_pretrained(folder)
    preprocessor.save_pretrained(folder)
    return folder


def _config() -> Wav2Vec2BertConfig:
    quiet: dict[str, Any] = dict.fromkeys(
        ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout", "final_dropout", "layerdrop"), 0.0
    )
    return Wav2Vec2BertConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        intermediate_size=2 * WIDTH,
        conv_depthwise_kernel_size=15,
        position_embeddings_type=None,  # the convolutions tell places apart; relative ones take most of the time
        conformer_conv_dropout=0.0,
        apply_spec_augment=False,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
        vocab_size=len(SPECIAL) + len(LETTERS),
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **quiet,
    )


def _examples(utterances: Sequence[Utterance], preprocessor: Any) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Spectra and symbols of each utterance that has words and no tags."""
    for utterance in utterances:
        spelled = spell(utterance.text or "", VOCABULARY)
        symbols: list[int] = []
        for letters in spelled.letters:
            symbols += [*([VOCABULARY.delimiter] if symbols else []), *letters]  # type: ignore[list-item]
        if symbols and not any(one.is_tag for one in spelled.spoken):
            wave = read_wave(utterance.wav, 16_000, utterance.part).samples
            yield preprocessor(wave, sampling_rate=16_000, return_tensors="np").input_features[0], symbols


def _train(model: Any, examples: Sequence[tuple[np.ndarray, list[int]]], steps: int, tell: Any) -> None:
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.15)
    # Utterances of like length share a batch, so that little of it is padding.
    order = sorted(range(len(examples)), key=lambda place: len(examples[place][0]))
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    random = np.random.default_rng(SEED)
    for step in range(steps):
        chosen = [examples[place] for place in batches[random.integers(len(batches))]]
        longest, most = max(len(each) for each, _ in chosen), max(len(symbols) for _, symbols in chosen)
        spectra, mask = torch.zeros(len(chosen), longest, 160), torch.zeros(len(chosen), longest, dtype=torch.long)
        labels = torch.full((len(chosen), most), -100)
        for row, (own, symbols) in enumerate(chosen):
            spectra[row, : len(own)], mask[row, : len(own)] = torch.from_numpy(own), 1
            labels[row, : len(symbols)] = torch.tensor(symbols)
        loss = model(input_features=spectra, attention_mask=mask, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        tell(step, float(loss.detach()))


if __name__ == "__main__":
    write_trained(Path(sys.argv[1]), tell=lambda step, loss: print(step, round(loss, 3)) if step % 50 == 49 else None)
