"""A CTC speech recogniser: the probability of each symbol in each frame of an utterance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING

from mer.backends.device import device_of_the_rest, resolve_device
from mer.corpus.aligner.aligner_kind import SAMPLE_RATE
from mer.corpus.aligner.spelled_words import Vocabulary
from mer.corpus.aligner.timed_words import FrameTimes
from mer.extract.checkpoint_files import COPY_AGAIN
from mer.extract.families.speech_checkpoint import SpeechCheckpoint
from mer.extract.memory import check_memory
from mer.extract.precision import exact_float32
from mer.extract.pretrained import EncoderError, load_weights
from mer.recognise.checkpoint import load_tokenizer, open_recogniser

KIND = "CTC speech recogniser"
"""What a checkpoint has to be, in errors."""


class CtcCheckpoint:
    """A CTC recogniser without its weights: its symbols, and where its frames lie."""

    def __init__(self, name: str, revision: str | None, option: str) -> None:
        """Read everything but the weights.

        Args:
            name: hub id or folder.
            revision: branch, tag or commit of a hub id.
            option: command-line option that names it, for errors.

        Raises:
            EncoderError: no such checkpoint, one that is no CTC recogniser, or files that do not belong together.
        """
        self.speech = open_recogniser(name, revision, option)
        self.architecture = _architecture(self.speech)
        self.tokenizer = load_tokenizer(self.speech)
        self.blank = _blank(self.speech, self.tokenizer)
        self.times = frame_times(self.speech)

    def vocabulary(self) -> Vocabulary:
        """The letters that it knows.

        Raises:
            EncoderError: its symbols are phonemes, or pieces of words.
        """
        return letters_of(self.speech.title, self.tokenizer, self.blank, int(self.speech.config.vocab_size))


class CtcModel:
    """A CTC recogniser with its weights, which takes one utterance at a time: nothing is padded."""

    def __init__(self, checkpoint: CtcCheckpoint, device: str = "cpu") -> None:
        """Read the weights.

        Args:
            checkpoint: without them.
            device: `cpu`, `cuda`, `mps` or `auto`.

        Raises:
            EncoderError: weights that are missing, damaged, or too many for the machine.
        """
        self.checkpoint = checkpoint
        speech = checkpoint.speech
        self._device = resolve_device(device)
        check_memory(speech, self._device)
        model: Any = load_weights(
            speech.name, speech.revision, speech.option, speech.config, architecture=checkpoint.architecture, kind=KIND
        )
        self._model = model.requires_grad_(False).to(self._device)

    @torch.inference_mode()
    def log_probs(self, wave: Float32[np.ndarray, " samples"]) -> Float64[np.ndarray, "frames symbols"]:
        """Natural logarithm of each symbol's probability in each frame; no frames for speech that is shorter than one.

        Args:
            wave: mono at `SAMPLE_RATE`.
        """
        speech: Any = self.checkpoint.speech
        if not speech.frame_count(len(wave)):
            return np.empty((0, int(speech.config.vocab_size)))
        inputs: Mapping[str, Any] = speech.preprocessor(wave, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        with exact_float32():
            logits = self._model(**{name: value.to(self._device) for name, value in inputs.items()}).logits[0]
        exact = logits.to(device_of_the_rest(logits.device)).double()
        found: Float64[np.ndarray, "frames symbols"] = exact.log_softmax(-1).cpu().numpy()

        return found

    def text(self, wave: Float32[np.ndarray, " samples"]) -> str:
        """What is heard, greedily: the most probable symbol of each frame, neighbours that are the same made one, no blanks.

        Args:
            wave: mono at `SAMPLE_RATE`.
        """
        best = self.log_probs(wave).argmax(1)
        heard: str = self.checkpoint.tokenizer.decode(best, skip_special_tokens=True) if len(best) else ""
        return " ".join(heard.split())


def frame_times(speech: SpeechCheckpoint) -> FrameTimes:
    """Where the frames of a recogniser lie: those of its encoder, or every second of them behind each layer of an adapter."""
    config = speech.config
    first = speech.frame_offset + speech.frame_length / 2
    stride = float(speech.frame_stride)
    if getattr(config, "add_adapter", False):
        for _ in range(config.num_adapter_layers):
            first += stride * ((config.adapter_kernel_size - 1) / 2 - speech.adapter_padding)
            stride *= config.adapter_stride
    return FrameTimes(first=first, stride=stride, sample_rate=speech.sample_rate)


def letters_of(title: str, tokenizer: Any, blank: int, outputs: int) -> Vocabulary:
    """The letters of a recogniser's tokenizer.

    Args:
        title: option and checkpoint, for errors.
        tokenizer: of the checkpoint.
        blank: number of the blank.
        outputs: how many symbols the model has.

    Raises:
        EncoderError: its symbols are phonemes, or pieces of words.
    """
    if hasattr(tokenizer, "phonemizer_backend"):
        raise EncoderError(f"{title}: its symbols are phonemes, and transcripts are letters; give one that hears letters")
    if not all(isinstance(number, int) for number in tokenizer.get_vocab().values()):
        raise EncoderError(f"{title}: its vocab.json is of several languages, and tokenizer_config.json names none (target_lang)")
    parts_words = getattr(tokenizer, "word_delimiter_token", None)
    symbols = {token: number for token, number in tokenizer.get_vocab().items() if number < outputs and number != blank}
    delimiter = symbols.pop(parts_words, None)
    own = {token: number for token, number in symbols.items() if token not in tokenizer.all_special_tokens}
    letters = {token: number for token, number in own.items() if len(token) == 1}
    if not letters or len(letters) < len(own) / 2:
        raise EncoderError(
            f"{title}: {len(own) - len(letters)} of its {len(own)} symbols are of several letters, and transcripts are spelled "
            "letter by letter; give a recogniser whose vocabulary is letters"
        )
    return Vocabulary(symbols=letters, blank=blank, delimiter=delimiter)


def _architecture(speech: SpeechCheckpoint) -> Any:
    found = MODEL_FOR_CTC_MAPPING.get(type(speech.config), None)
    if found is None:
        raise EncoderError(
            f"{speech.title}: a {speech.config.model_type!r} model is no {KIND}: transformers has none of its kind"
        )
    if speech.config.vocab_size is None:
        raise EncoderError(f"{speech.title}: its config.json has no vocab_size, so it is an encoder and no {KIND}")
    return found


def _blank(speech: SpeechCheckpoint, tokenizer: Any) -> int:
    """CTC's blank: in Hugging Face's recognisers the symbol that fills up batches of texts."""
    stated, own = speech.config.pad_token_id, tokenizer.pad_token_id
    outputs = int(speech.config.vocab_size)
    if stated != own or own is None or not own < outputs:
        raise EncoderError(
            f"{speech.title}: its config.json has pad_token_id = {stated!r}, its tokenizer {own!r}, of {outputs} symbols: the "
            f"blank must be one symbol for both, so they are not of one checkpoint; {COPY_AGAIN}"
        )
    return int(own)
