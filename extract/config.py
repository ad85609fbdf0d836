"""What decides the cached numbers, and what only decides how fast they are made."""

from dataclasses import dataclass
from pathlib import Path

from mer.cache.granularity import GRANULARITIES
from mer.corpus.aligner.registry import ALIGNERS
from mer.extract.encoder_options import (
    speech_model_option,
    speech_revision_option,
    text_model_option,
    text_revision_option,
)
from mer.settings.kinds import GRANULARITY, NUMBERS
from mer.settings.option import WHAT, option, problems_of
from mer.settings.shared_options import device_option, texts_option

SPEECH_GRANULARITIES = ("F", "P", "S", "W")
COMPUTE_DTYPES = ("float32", "float64", "bfloat16")
OTHER_ALIGNMENTS = ("corpus", "textgrid")
"""Times that are not made by an aligner of `ALIGNERS`."""
LONG_AUDIO = ("windows", "refuse")
LONG_TEXTS = ("refuse", "windows", "cut")
STORAGE_DTYPES = ("float16", "float32")


class ExtractError(ValueError):
    """Extraction cannot start: options that do not fit, a disk too small, an encoder that is none."""


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Everything that changes the cached numbers (hashed into the cache key, with the weights)."""

    granularities: tuple[str, ...] = option(
        GRANULARITIES,
        "Some of F(rames) P(hones) S(yllables) W(ords) T(ext wordpieces). Frames are the bulk of a cache: leave F out for "
        "large corpora.",
        name="granularity",
        kind=GRANULARITY,
        panel=WHAT,
    )
    layers: tuple[int, ...] | None = option(
        None, "Such as 1-12 or 0,6,12; 0 is the first layer's input. Default: 1 to last.", kind=NUMBERS, panel=WHAT
    )
    speech_model: str = speech_model_option()
    text_model: str = text_model_option()
    speech_revision: str | None = speech_revision_option()
    text_revision: str | None = text_revision_option()
    text_tags: str = option(
        "drop",
        "What becomes of tags such as [LAUGHTER] in transcripts before the text encoder.",
        choices=("drop", "keep"),
        panel=WHAT,
    )
    fillers: str = option("keep", "Whether laughter and breaths are units of P, S and W.", choices=("keep", "drop"), panel=WHAT)
    alignment: str = option(
        "corpus",
        "Times of P, S and W: corpus (its own files), textgrid (of --textgrids), or an aligner (`mer align` into the cache "
        "folder, now): pocketsphinx (English), or ctc (words in the language of --ctc-model).",
        choices=ALIGNERS,
        also=OTHER_ALIGNMENTS,
        panel=WHAT,
    )
    long: str = option(
        "windows",
        "Audio longer than a speech encoder takes at once (Whisper: 30 s): windows, one after the other, or refuse it.",
        choices=LONG_AUDIO,
        panel=WHAT,
        later=True,
    )
    long_text: str = option(
        "refuse",
        "Transcripts of more wordpieces than the text encoder takes: refuse the utterance, windows, or cut off the rest.",
        choices=LONG_TEXTS,
        panel=WHAT,
        later=True,
    )
    dtype: str = option(
        "float32",
        "Of the forward pass: float32 (exact), float64, bfloat16 (1 % off; faster only on hardware made for it).",
        choices=COMPUTE_DTYPES,
    )
    texts: Path | None = texts_option()
    storage: str = option("float16", "On disk: float16, or float32 for activations that leave its range.", choices=STORAGE_DTYPES)

    def __post_init__(self) -> None:
        """Put granularities and layers in order.

        Raises:
            ExtractError: what cannot be extracted, all problems at once.
        """
        problems = list(problems_of(self))
        named = "+".join(self.granularities)
        if not self.granularities or set(self.granularities) - set(GRANULARITIES):
            problems.append(f"granularity {named}: expected some of {'+'.join(GRANULARITIES)}")
        if len(set(self.granularities)) < len(self.granularities):
            problems.append(f"granularity {named} names one twice; give each at most once, as in F+S")
        if self.layers is not None:
            if not self.layers or min(self.layers) < 0 or len(set(self.layers)) < len(self.layers):
                problems.append(f"layers must be different numbers, 0 or more, such as 1-12, got {list(self.layers)}")
            object.__setattr__(self, "layers", tuple(sorted(self.layers)))
        if self.texts is not None and "T" not in self.granularities:
            problems.append("texts: without granularity T no transcript is read; leave it out")
        if problems:
            raise ExtractError("; ".join(problems))
        object.__setattr__(self, "granularities", tuple(each for each in GRANULARITIES if each in self.granularities))

    @property
    def needs_speech(self) -> bool:
        """Whether any speech granularity is wanted."""
        return any(g in SPEECH_GRANULARITIES for g in self.granularities)

    @property
    def needs_text(self) -> bool:
        """Whether wordpieces are wanted."""
        return "T" in self.granularities

    @property
    def needs_alignment(self) -> bool:
        """Whether phones, syllables or words are wanted."""
        return any(g in "PSW" for g in self.granularities)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """How the work is done; on the CPU, nothing here changes the numbers beyond float32 rounding."""

    device: str = device_option()
    batch_seconds: float | None = option(
        None,
        "Padded seconds of audio in a speech batch. Default: one utterance on a CPU, 300 s on a GPU.",
        above=0,
        identity=False,
    )
    workers: int | None = None
    """Processes, each with one CPU thread; None = one per core on a CPU, one on a GPU."""
    batch_tokens: int = 1024
    """Padded wordpieces in a text batch."""
    shard_bytes: int = 256_000_000
    """Aimed size of a shard. Bounds memory (twice this per worker) and the work lost to a kill."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ExtractError(f"workers must be at least 1, got {self.workers}")
        for problem in problems_of(self):
            raise ExtractError(problem)
        if self.batch_tokens < 1 or self.shard_bytes < 1:
            raise ExtractError("batch_tokens and shard_bytes must be positive")
