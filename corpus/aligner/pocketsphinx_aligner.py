"""Forced alignment with pocketsphinx: acoustic model and dictionary come with its wheel, nothing is downloaded."""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Float32

from mer.corpus.aligner.align_error import AlignError
from mer.corpus.aligner.aligner_kind import Aligned
from mer.corpus.aligner.aligner_options import AlignerOptions
from mer.corpus.aligner.extra_package import EXTRA_PACKAGES, extra_package
from mer.corpus.aligner.fillers_in_pauses import fill_pauses
from mer.corpus.aligner.speech_checks import check_speech
from mer.corpus.aligner.spoken_words import spoken_words, tags_by_place
from mer.corpus.aligner.unknown_words import espeak_version, say_unknown_word
from mer.corpus.alignment import Alignment, Segment
from mer.corpus.arpabet import to_arpabet
from mer.corpus.syllables import syllable_segments
from mer.corpus.unspoken import is_silence

ALIGNER_VERSION = 2
"""Raised whenever the same speech and text would be aligned otherwise."""
MAX_SECONDS = 600.0
"""Longer speech is refused: the search keeps all of it in memory."""
FRAME_MS = 10
FILLER_PHONE = "spn"
"""Phone of every filler, as the Montreal Forced Aligner writes it."""

SHORTEST_PHONE = 3
"""Frames: a phone's model has three states."""
MOST_SQUEEZED = 1 / 3
"""Largest share of phones as short as can be. Right texts have at most 0.18, wrong ones that align at all nearly always more."""
FEWEST_TO_JUDGE = 8
"""Phones: a single word may well be said so fast."""
MOST_UNKNOWN, UNKNOWN_TO_JUDGE = 0.5, 4
"""Above this share of unknown words, of at least so many, a text is taken for another language."""
_WRONG_TEXT = "the text cannot be what is said here: check that text and audio belong together"
_VARIANT = re.compile(r"\([0-9]+\)$")


@dataclass(frozen=True, slots=True)
class _TimedPhone:
    """In frames."""

    name: str
    start: int
    frames: int


@dataclass(frozen=True, slots=True)
class _TimedWord:
    """In frames."""

    name: str
    start: int
    frames: int
    phones: tuple[_TimedPhone, ...]


class Pocketsphinx:
    """The aligner `pocketsphinx` of `ALIGNERS`."""

    tiers = ("words", "phones", "syllables")
    unknown_words = "not in the dictionary, said as espeak-ng says them"
    folder_name = "pocketsphinx"

    def __init__(self, options: AlignerOptions) -> None:
        """Take no options.

        Raises:
            AlignError: an option of another aligner.
        """
        if options != AlignerOptions():
            raise AlignError("--ctc-model and --ctc-revision are for the aligner ctc, and this is pocketsphinx; leave them out")

    @property
    def title(self) -> str:
        """Name and versions; raises AlignError if a package of the extra `align` is not installed."""
        return aligner_name()

    @property
    def fingerprint(self) -> str:
        """The versions: the packages, too, decide how words are said and where they are found."""
        return aligner_name()

    def open(self) -> "Aligner":
        """Load the acoustic model."""
        return Aligner()


class Aligner:
    """One decoder of pocketsphinx; results do not depend on what was aligned before. Threads take turns."""

    def __init__(self) -> None:
        """Load the acoustic model, in about 0.2 s and 110 MB.

        Raises:
            AlignError: if a package of the extra `align` is not installed.
        """
        aligner_name()  # or an error that says what is not here
        self._lock = threading.Lock()
        self._decoder = _new_decoder()
        self._guessed: set[str] = set()

    def knows(self, word: str) -> bool:
        """Whether the dictionary has a word (lower case)."""
        return self._lookup(word) is not None

    def align(self, wave: Float32[np.ndarray, " samples"], text: str) -> Aligned:
        """Find every phone, syllable and word of a text in speech.

        Two passes over a linear graph of the words with optional pauses: words, then their phones. Syllables are
        grouped by maximal onset.

        Args:
            wave: 16 kHz mono, full scale = 1.
            text: English; bracketed tags are fillers, found in the pauses.

        Raises:
            AlignError: no words, speech that is too short, silent or too long, a text that is not English or cannot be
                what is said.
        """
        spoken = spoken_words(text, self.knows)
        words = [s.label for s in spoken if not s.is_tag]
        if not spoken:
            raise AlignError(f"no words in the text {text[:60]!r}: write down what is said")
        check_speech(wave, MAX_SECONDS)
        with self._lock:
            unknown = self._pronounce(words)
            found = self._decode(wave, words) if words else []
        timed = [phone for word in found for phone in word.phones]
        _check_plausible(timed)
        own_words = [_segment(word.name, word) for word in found]
        fillers = fill_pauses(wave, own_words, tags_by_place(spoken))
        if not words and not fillers:
            raise AlignError(f"no words in the text {text[:60]!r}, and no sound that its tags could be")
        own_phones = [_segment(to_arpabet(phone.name), phone) for phone in timed]
        filler_phones = [Segment(FILLER_PHONE, filler.start_ms, filler.end_ms) for filler in fillers]
        phones = tuple(sorted([*own_phones, *filler_phones], key=_start))
        all_words = tuple(sorted([*own_words, *fillers], key=_start))
        alignment = Alignment(phones=phones, syllables=syllable_segments(phones, all_words), words=all_words)
        lost = sum(s.is_tag for s in spoken) - len(fillers)
        return Aligned(alignment=alignment, unknown=unknown, fillers_lost=lost)

    def _lookup(self, word: str) -> tuple[str, ...] | None:
        """Pronunciation in the dictionary; guesses are none, or results would depend on what was aligned before."""
        if word in self._guessed or not word.strip("'"):
            return None
        phones = self._decoder.lookup_word(word)
        return tuple(str(phones).split()) if phones else None

    def _pronounce(self, words: Sequence[str]) -> tuple[str, ...]:
        """Add guesses for what the dictionary lacks; returns these words.

        Raises:
            AlignError: if most words are unknown.
        """
        unknown = tuple(word for word in dict.fromkeys(words) if not self.knows(word))
        share = sum(word in unknown for word in words) / max(len(words), 1)
        if len(unknown) >= UNKNOWN_TO_JUDGE and share > MOST_UNKNOWN:
            raise AlignError(
                f"{len(unknown)} of {len(set(words))} words are in no English dictionary ({', '.join(unknown[:5])}, ...): the "
                "aligner speaks English only; give TextGrids of another aligner instead"
            )
        for word in unknown:
            if word not in self._guessed:
                self._decoder.add_word(word, " ".join(say_unknown_word(word, self._lookup)), False)
                self._guessed.add(word)
        return unknown

    def _decode(self, wave: Float32[np.ndarray, " samples"], words: Sequence[str]) -> list[_TimedWord]:
        samples = np.clip(np.rint(wave * 32767.0), -32768, 32767).astype("<i2").tobytes()
        try:
            self._decoder.reinit_feat()  # forgets the utterance before
            self._decoder.set_align_text(" ".join(words))
            self._listen(samples)
            if self._decoder.seg() is None:
                raise AlignError(_WRONG_TEXT)
            self._decoder.set_alignment()
            self._listen(samples)
            found = [_timed_word(entry) for entry in self._decoder.get_alignment()]
        except RuntimeError as error:
            # It stays in the middle of the utterance, and the next one would fail too.
            self._decoder, self._guessed = _new_decoder(), set()
            raise AlignError(f"{_WRONG_TEXT} ({error})") from error
        found = [word for word in found if not is_silence(word.name)]
        if [word.name for word in found] != list(words):
            raise AlignError(_WRONG_TEXT)
        return found

    def _listen(self, samples: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(samples, full_utt=True)
        self._decoder.end_utt()


_thread_safe = threading.Lock()
_shared: list[Aligner] = []


def align(wave: Float32[np.ndarray, " samples"], text: str) -> Alignment:
    """`Aligner.align` with one aligner for the whole process, which is made when first needed.

    Args:
        wave: 16 kHz mono, full scale = 1.
        text: English; bracketed tags are fillers.

    Raises:
        AlignError: a package of the extra `align` is not installed, or speech and text cannot be aligned.
    """
    with _thread_safe:
        if not _shared:
            _shared.append(Aligner())
    return _shared[0].align(wave, text).alignment


def aligner_name() -> str:
    """Aligner and versions, for records.

    Raises:
        AlignError: if a package of the extra `align` is not installed.
    """
    for name in EXTRA_PACKAGES:
        extra_package(name)
    packages = f"pocketsphinx {version('pocketsphinx')}, espeak-ng {espeak_version()}, num2words {version('num2words')}"
    return f"{packages}, mer rules {ALIGNER_VERSION}"


def _new_decoder() -> Any:
    # Its lattice search over the words' path moves them and then often misses the last one: 18 of 100 utterances failed.
    return extra_package("pocketsphinx").Decoder(lm=None, loglevel="FATAL", bestpath=False)


def _timed_word(entry: Any) -> _TimedWord:
    phones = tuple(_TimedPhone(phone.name, phone.start, phone.duration) for phone in entry)
    return _TimedWord(_VARIANT.sub("", entry.name), entry.start, entry.duration, phones)


def _segment(label: str, timed: _TimedWord | _TimedPhone) -> Segment:
    return Segment(label, timed.start * FRAME_MS, (timed.start + timed.frames) * FRAME_MS)


def _check_plausible(phones: Sequence[_TimedPhone]) -> None:
    squeezed = sum(phone.frames <= SHORTEST_PHONE for phone in phones)
    if len(phones) >= FEWEST_TO_JUDGE and squeezed > MOST_SQUEEZED * len(phones):
        raise AlignError(f"{_WRONG_TEXT} ({squeezed} of {len(phones)} phones would be as short as can be)")


def _start(segment: Segment) -> int:
    return segment.start_ms
