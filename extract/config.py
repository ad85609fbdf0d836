"""What decides the cached numbers, and what only decides how fast they are made."""

from dataclasses import dataclass, field

from mer.cache import GRANULARITIES

SPEECH_GRANULARITIES = ("F", "P", "S", "W")
COMPUTE_DTYPES = ("float32", "float64", "bfloat16")
ALIGNMENTS = ("corpus", "textgrid", "pocketsphinx")
STORAGE_DTYPES = ("float16", "float32")


class ExtractError(ValueError):
    """Extraction cannot start: options that do not fit, a disk too small, an encoder that is none."""


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Everything that changes the cached numbers (hashed into the cache key, with the weights)."""

    speech_model: str = "facebook/wav2vec2-base"
    """Hub id or folder of a wav2vec 2.0 family encoder (wav2vec2, HuBERT, WavLM, data2vec-audio)."""
    text_model: str = "google-bert/bert-base-uncased"
    """Hub id or folder of a BERT-like encoder."""
    speech_revision: str | None = None
    """Branch, tag or commit of a hub id; the commit it resolves to is recorded."""
    text_revision: str | None = None
    """Likewise for the text encoder."""
    granularities: tuple[str, ...] = GRANULARITIES
    """Subset of F P S W T. Frames are the bulk of a cache; leave F out for large corpora."""
    layers: tuple[int, ...] | None = None
    """Hidden states to keep, 0 = input of the first layer; None = every transformer layer, 1..N."""
    dtype: str = "float32"
    """Precision of the forward pass. bfloat16 is faster and about 1 % off."""
    storage: str = "float16"
    """Precision on disk. float32 for encoders whose activations leave float16's range."""
    text_tags: str = "drop"
    """`drop` removes `[LAUGHTER]`-style tags before the text encoder, `keep` feeds them to it."""
    fillers: str = "keep"
    """`keep` makes laughter and breath units of P, S and W; `drop` leaves them out."""
    alignment: str = "corpus"
    """Whose times the corpus comes with: its own files', `textgrid`s' of a folder, or `pocketsphinx`'s of `mer align`."""

    def __post_init__(self) -> None:
        if not self.granularities or set(self.granularities) - set(GRANULARITIES):
            raise ExtractError(f"granularities {self.granularities!r}: expected a subset of {GRANULARITIES}")
        _one_of("dtype", self.dtype, COMPUTE_DTYPES)
        _one_of("storage", self.storage, STORAGE_DTYPES)
        _one_of("text_tags", self.text_tags, ("drop", "keep"))
        _one_of("fillers", self.fillers, ("drop", "keep"))
        _one_of("alignment", self.alignment, ALIGNMENTS)
        if self.layers is not None and (
            not self.layers or any(i < 0 for i in self.layers) or list(self.layers) != sorted(set(self.layers))
        ):
            raise ExtractError(f"layers {self.layers}: expected increasing numbers from 0, such as 1-12")

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

    device: str = "auto"
    """`auto` (CUDA if there is one), `cpu`, `cuda`, `cuda:1`."""
    workers: int | None = None
    """Processes, each with one CPU thread; None = one per core on a CPU, one on a GPU."""
    batch_seconds: float | None = None
    """Padded seconds of audio in a speech batch; None = one utterance on a CPU, 300 s on a GPU."""
    batch_tokens: int = 1024
    """Padded wordpieces in a text batch."""
    shard_bytes: int = field(default=256_000_000)
    """Aimed size of a shard. Bounds memory (twice this per worker) and the work lost to a kill."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ExtractError(f"workers must be at least 1, got {self.workers}")
        if self.batch_seconds is not None and not self.batch_seconds > 0:
            raise ExtractError(f"batch_seconds must be positive, got {self.batch_seconds}")
        if self.batch_tokens < 1 or self.shard_bytes < 1:
            raise ExtractError("batch_tokens and shard_bytes must be positive")


def _one_of(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ExtractError(f"{name} {value!r}: expected one of {', '.join(valid)}")
