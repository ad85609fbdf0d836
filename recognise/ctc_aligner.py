"""Forced alignment with a CTC speech recogniser, in whatever language it was trained on: words, and no phones."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float32

from mer.corpus.aligner.align_error import AlignError
from mer.corpus.aligner.aligner_kind import Aligned
from mer.corpus.aligner.aligner_options import AlignerOptions
from mer.corpus.aligner.fillers_in_pauses import fill_pauses
from mer.corpus.aligner.speech_checks import check_speech
from mer.corpus.aligner.spelled_words import spell
from mer.corpus.aligner.spoken_words import tags_by_place
from mer.corpus.aligner.timed_words import time_words, word_segments
from mer.corpus.alignment import Alignment, Segment
from mer.extract.pretrained import model_label
from mer.recognise.checkpoint import identity
from mer.recognise.ctc_model import CtcCheckpoint, CtcModel

CTC_RULES = 1
"""Raised whenever the same speech, text and model would be aligned otherwise."""
MAX_SECONDS = 120.0
"""Longer speech is refused: a transformer's memory may grow with the square of its length."""
MOST_LOST = 5.0
"""By how much a text may be less probable than what the model hears, natural logarithm for each letter: with a small model
on synthetic speech right texts have at most 1.7, and 95 of 100 wrong ones more than this."""
OPTION = "--ctc-model"


class Ctc:
    """The aligner `ctc` of `ALIGNERS`."""

    tiers = ("words",)
    unknown_words = "no character of them is in the model's vocabulary, so they take whatever is heard between their neighbours"

    def __init__(self, options: AlignerOptions) -> None:
        """Take the model from the options.

        Raises:
            AlignError: no model is given.
        """
        if options.ctc_model is None:
            raise AlignError(
                f"the aligner ctc needs a speech recogniser for the language of the texts: give {OPTION} FOLDER, or a hub id "
                "such as facebook/wav2vec2-large-xlsr-53-german"
            )
        self._name, self._revision = options.ctc_model, options.ctc_revision

    @cached_property
    def checkpoint(self) -> CtcCheckpoint:
        """The model without its weights; raises EncoderError if it is not to be had."""
        return CtcCheckpoint(self._name, self._revision, OPTION)

    @cached_property
    def fingerprint(self) -> str:
        """The rules and the model: its commit, or the digest of its files."""
        self.checkpoint.vocabulary()  # what cannot be aligned with is refused before anything is written
        return f"ctc {CTC_RULES}, {identity(self.checkpoint.speech)}"

    @property
    def title(self) -> str:
        """The model, what it is exactly, and the rules."""
        return f"ctc {model_label(self._name)} ({self.fingerprint.partition(', ')[2][:19]}), mer rules {CTC_RULES}"

    @property
    def folder_name(self) -> str:
        """With the model's name and the beginning of its identity."""
        model = model_label(self._name).replace("/", "-")
        return f"ctc-{model}-{self.fingerprint.rpartition(' ')[2][:8]}"

    def open(self) -> "CtcAligner":
        """Read the weights.

        Raises:
            EncoderError: they are missing or damaged.
        """
        return CtcAligner(self.checkpoint)


class CtcAligner:
    """One CTC recogniser with its weights."""

    def __init__(self, checkpoint: CtcCheckpoint) -> None:
        """Read the weights.

        Args:
            checkpoint: the model without them.
        """
        self._vocabulary, self._times = checkpoint.vocabulary(), checkpoint.times
        self._model = CtcModel(checkpoint)

    def align(self, wave: Float32[np.ndarray, " samples"], text: str) -> Aligned:
        """Find the words of a text; see `OpenAligner`."""
        spelled = spell(text, self._vocabulary)
        if not spelled.spoken:
            raise AlignError(f"no words in the text {text[:60]!r}: write down what is said")
        check_speech(wave, MAX_SECONDS)
        if spelled.letters and not any(spelled.letters):
            known = "".join(sorted(self._vocabulary.symbols))[:60]
            raise AlignError(
                f"no character of {text[:60]!r} is in the model's vocabulary ({known}): it was trained on another script, or it "
                "writes numbers in words"
            )
        labels = [one.label for one in spelled.spoken if not one.is_tag]
        words: list[Segment] = []
        if labels:
            timed = time_words(self._model.log_probs(wave), spelled, self._vocabulary)
            if timed.lost > MOST_LOST:
                raise AlignError(
                    f"the text cannot be what is said here: each letter of it is e^{timed.lost:.0f} times less probable than "
                    "what the model hears; check that text and audio belong together, and that the model is of their language"
                )
            words = word_segments(labels, timed, self._times, len(wave))
        fillers = fill_pauses(wave, words, tags_by_place(spelled.spoken))
        if not words and not fillers:
            raise AlignError(f"no words in the text {text[:60]!r}, and no sound that its tags could be")
        return Aligned(
            alignment=Alignment(phones=(), syllables=(), words=_in_order(words, fillers)),
            unknown=spelled.unknown,
            fillers_lost=sum(one.is_tag for one in spelled.spoken) - len(fillers),
            unknown_characters=spelled.lacking,
        )


def _in_order(words: Sequence[Segment], fillers: Sequence[Segment]) -> tuple[Segment, ...]:
    return tuple(sorted([*words, *fillers], key=lambda each: each.start_ms))
