"""The utterances of a corpus that are fine-tuned on: which class, how long, and which cannot take part."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mer.corpus import Corpus, Utterance
from mer.extract import AudioError, seconds_of
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.heads.training.selection import Selection, chosen_classes
from mer.protocol import ClassMap


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """What is trained and tested on."""

    corpus: str
    """Name of the corpus."""
    synthetic: bool
    """Whether its speech is synthetic."""
    utterances: tuple[Utterance, ...]
    """Those that take part; everything else counts rows of these."""
    selection: Selection
    """The same as columns."""
    classes: ClassMap
    """Their classes."""
    seconds: tuple[float, ...]
    """Seconds of each utterance's audio, before cutting; empty where only text is used."""
    left_out: tuple[tuple[str, str], ...]
    """Utterances of these classes that cannot take part, each with its reason."""

    def fingerprint(self, *, texts: bool) -> str:
        """Sha256 of who takes part with which class and how much audio.

        Args:
            texts: whether the transcripts decide anything.
        """
        found = [self.selection.fingerprint(texts=texts), [round(each, 6) for each in self.seconds]]
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()

    def longer_than(self, seconds: float) -> int:
        """Utterances with more audio than that."""
        return sum(each > seconds for each in self.seconds)


def take_material(corpus: Corpus, config: FinetuneConfig, shortest_seconds: float) -> Material:
    """The utterances whose label belongs to a class, and that have what the encoders read.

    One without readable audio, or without a transcript where text is used, is left out and listed with its reason.

    Args:
        corpus: where they come from.
        config: classes and modality.
        shortest_seconds: less audio than this gives no frame; 0 where only text is used.

    Raises:
        FinetuneError: none is left.
        ProtocolError: an unknown class map, or one that knows no label of the corpus.
    """
    labels = [utterance.label for utterance in corpus]
    classes = chosen_classes(config, labels)
    numbers = classes.indices(labels)
    chosen, seconds = list[int](), list[float]()
    left_out = list[tuple[str, str]]()
    for row, utterance in enumerate(corpus):
        if numbers[row] < 0:
            continue
        try:
            length = _checked(utterance, config, shortest_seconds)
        except (AudioError, FinetuneError) as problem:
            left_out.append((utterance.id, str(problem)))
            continue
        chosen.append(row)
        seconds += [] if length is None else [length]
    if not chosen:
        first = f"; first: {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
        raise FinetuneError(f"corpus {corpus.name!r} has no utterance to train on{first}")
    utterances = tuple(corpus.utterances[row] for row in chosen)
    return Material(
        corpus=corpus.name,
        synthetic=corpus.synthetic,
        utterances=utterances,
        selection=_columns(utterances, numbers[chosen], Counter(np.array(labels)[numbers < 0].tolist())),
        classes=classes,
        seconds=tuple(seconds),
        left_out=tuple(left_out),
    )


def labelled(corpus: Corpus, config: FinetuneConfig) -> Selection:
    """The utterances whose label belongs to a class, before anything is opened; raises ProtocolError as `take_material` does."""
    labels = [utterance.label for utterance in corpus]
    numbers = chosen_classes(config, labels).indices(labels)
    rows = np.flatnonzero(numbers >= 0)
    return _columns([corpus.utterances[row] for row in rows.tolist()], numbers[rows], Counter())


def _checked(utterance: Utterance, config: FinetuneConfig, shortest_seconds: float) -> float | None:
    """Seconds of audio, where it is used."""
    if "text" in config.modalities and utterance.text is None:
        raise FinetuneError("no transcript")
    if "speech" not in config.modalities:
        return None
    seconds = seconds_of(utterance)
    if min(seconds, config.max_seconds) < shortest_seconds:
        raise FinetuneError(f"{seconds:.4f} s of audio, less than a frame of the speech encoder ({shortest_seconds:.4f} s)")
    return seconds


def _columns(utterances: Sequence[Utterance], targets: np.ndarray, left_out: Counter[str]) -> Selection:
    return Selection(
        indices=tuple(range(len(utterances))),
        targets=targets,
        ids=tuple(each.id for each in utterances),
        speakers=tuple(each.speaker for each in utterances),
        sessions=tuple(each.session for each in utterances),
        styles=tuple(each.style for each in utterances),
        texts=tuple(each.text or "" for each in utterances),
        dialogues=tuple(each.dialogue for each in utterances),
        more=tuple({"split": each.split, "columns": each.columns or {}} for each in utterances),
        left_out=dict(sorted(left_out.items())),
    )
