"""The object that answers for new recordings."""

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from mer.corpus import TextGridAlignment, Utterance
from mer.corpus.aligner import ALIGNERS
from mer.corpus.audio import audio_seconds
from mer.predict.answer import Answer, Failure, Prediction, Rating, make_prediction, make_rating
from mer.predict.checks import RefusedError, listen
from mer.predict.errors import PredictError
from mer.predict.given_audio import Audio, Given, as_files
from mer.predict.hub_download import Source
from mer.predict.on_the_fly import Aligner, aligned
from mer.predict.saved_head import Run
from mer.results.names import run_stem

CHUNK_SECONDS = 120.0
"""Audio whose features are in memory together: 110 MB of frames at base size."""
MAX_SECONDS = 60.0
"""Longer audio is refused by default."""
TURN = threading.RLock()
"""Held by whoever answers or loads, whichever predictor it is: how many threads PyTorch computes with, whether it may use TF32,
and the pool of numba's loops are one thing in a process, and are set for the time of an answer."""
Said = TypeVar("Said", Prediction, Rating)


@runtime_checkable  # beartype checks arguments by isinstance
class Engine(Protocol):
    """What answers: a head behind frozen encoders, or models that were trained whole."""

    @property
    def hears(self) -> bool:
        """Whether audio is used."""
        ...

    @property
    def reads(self) -> bool:
        """Whether the transcript is used."""
        ...

    @property
    def aligns(self) -> bool:
        """Whether the times of phones, syllables or words are used."""
        ...

    @property
    def aligned_by(self) -> str:
        """Whose times the run was trained on: `corpus`, `textgrid` or an aligner's name."""
        ...

    @property
    def by_speaker(self) -> bool:
        """Whether all recordings of a call have to be heard before one is answered for."""
        ...

    def hear(self, chunks: Sequence[Sequence[Utterance]]) -> None:
        """Take what answers need of all recordings of a call: the statistics of its speakers."""
        ...

    def answer(self, utterances: Sequence[Utterance]) -> dict[str, Answer | str]:
        """An answer for each recording by its id, or the reason why there is none."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Ready:
    """A chunk of a call before its answers."""

    utterances: list[Utterance]
    """With their times."""
    notes: dict[str, tuple[str, ...]]
    """What is to be said of each."""
    refused: dict[str, Failure]
    """What has no answer."""


class Predictor:
    """A saved run, ready to answer. Threads may share one, and several may be used at once: calls take turns."""

    def __init__(
        self,
        engine: Engine,
        classes: tuple[str, ...],
        runs: Sequence[Run],
        *,
        source: Source,
        max_seconds: float,
        aligner: Aligner | None,
        remarks: tuple[str, ...] = (),
        dimensions: tuple[str, ...] = (),
        temperatures: tuple[float, ...] | None = None,
    ) -> None:
        """Use `load`."""
        self._temperatures = temperatures
        self.folder = source.folder
        """Where its files are; of what was downloaded, in the hub's own store."""
        self.origin = source.origin
        """The folder as it was given, or `OWNER/NAME@COMMIT` of the Hugging Face hub."""
        self.remarks = remarks
        """What could not be checked, such as weights that were saved before they were hashed."""
        self.classes = classes
        """Class names in the order of every logit, or `dimensions`."""
        self.dimensions = dimensions
        """Ratings that are answered with, by `rate` and `rate_many`; empty where it is an emotion."""
        self.runs = tuple(run_stem(*run) for run in runs)
        """Runs that answer, such as `fold1-seed0`."""
        self.hears, self.reads, self.aligns = engine.hears, engine.reads, engine.aligns
        """Whether audio, text, and the times of phones, syllables or words are used."""
        self.aligned_by = engine.aligned_by
        """Whose times the run was trained on: `corpus`, `textgrid` or an aligner's name."""
        self.aligner = aligner
        """Times recordings that bring no alignment; None leaves them one segment."""
        self._engine, self._max_seconds = engine, max_seconds

    def __repr__(self) -> str:
        needs = " and ".join(name for name, used in (("audio", self.hears), ("text", self.reads)) if used)
        return f"<Predictor of {', '.join(self.classes)} from {needs}: {len(self.runs)} runs>"

    def predict(self, wav: Audio, text: str | None = None, *, textgrid: Path | str | None = None) -> Prediction:
        """The emotion of one recording.

        Args:
            wav: an audio file, the bytes of one, or an array (samples) or (samples, channels) with its rate in Hz; any rate.
                Not looked at where only text is used. What is no file is written to a temporary one for the time of the call.
            text: what is said; needed where text or alignments are used.
            textgrid: its alignment, if there is one; else it is made where it is needed.

        Raises:
            PredictError: audio or text that cannot be answered for, or a run that was trained on ratings.
        """
        return _only(self._predict([(wav, text)], textgrid=textgrid))

    def rate(self, wav: Audio, text: str | None = None, *, textgrid: Path | str | None = None) -> Rating:
        """The ratings of one recording; arguments and errors as for `predict`, of a run that was trained on ratings."""
        return _only(self._rate([(wav, text)], textgrid=textgrid))

    def predict_many(
        self, recordings: Sequence[Given], *, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> list[Prediction | Failure]:
        """The emotions of many recordings, in their order; one that cannot be answered for does not stop the others.

        Args:
            recordings: pairs of audio and text, as for `predict`, or utterances with different ids; of these, labels and
                sessions are not looked at, and speakers only by a run that is normalised by speaker: it takes all recordings
                of a speaker together, and all as one's where none is named.
            progress: called with recordings done and in all.

        Raises:
            PredictError: an id that occurs twice, audio of no known kind, or a run that was trained on ratings.
        """
        return self._predict(recordings, progress)

    def rate_many(
        self, recordings: Sequence[Given], *, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> list[Rating | Failure]:
        """The ratings of many recordings; arguments and errors as for `predict_many`, of a run that was trained on ratings."""
        return self._rate(recordings, progress)

    def _predict(
        self,
        recordings: Sequence[Given],
        progress: Callable[[int, int], None] = lambda done, total: None,
        textgrid: Path | str | None = None,
    ) -> list[Prediction | Failure]:
        if self.dimensions:
            raise PredictError(
                f"this run answers with {', '.join(self.dimensions)}, not with an emotion: use `rate`, or `rate_many`"
            )
        return self._given(recordings, textgrid, progress, partial(make_prediction, temperatures=self._temperatures))

    def _rate(
        self,
        recordings: Sequence[Given],
        progress: Callable[[int, int], None] = lambda done, total: None,
        textgrid: Path | str | None = None,
    ) -> list[Rating | Failure]:
        if not self.dimensions:
            raise PredictError("this run answers with an emotion, not with ratings: use `predict`, or `predict_many`")
        return self._given(recordings, textgrid, progress, make_rating)

    def _given(
        self,
        recordings: Sequence[Given],
        textgrid: Path | str | None,
        progress: Callable[[int, int], None],
        make: Callable[..., Said],
    ) -> list[Said | Failure]:
        with as_files(recordings) as given:
            utterances = given.utterances
            if textgrid is not None:
                times = TextGridAlignment(path=Path(textgrid))
                utterances = [dataclasses.replace(each, alignment=times) for each in utterances]
            answers = self._many(utterances, progress, make)
            return [
                dataclasses.replace(each, reason=given.worded(each.reason)) if isinstance(each, Failure) else each
                for each in answers
            ]

    def _many(
        self, utterances: Sequence[Utterance], progress: Callable[[int, int], None], make: Callable[..., Said]
    ) -> list[Said | Failure]:
        repeated = [name for name, count in Counter(each.id for each in utterances).items() if count > 1]
        if repeated:
            raise PredictError(f"id {repeated[0]!r} is used twice; give every recording its own")
        found: dict[str, Said | Failure] = {}
        with TURN:
            chunks: Iterator[_Ready] = (self._prepare(chunk) for chunk in _chunks(utterances))
            if self._engine.by_speaker:
                chunks = iter(heard := list(chunks))
                self._engine.hear([each.utterances for each in heard if each.utterances])
            for chunk in chunks:
                found |= self._answer(chunk, make)
                progress(len(found), len(utterances))
        return [found[each.id] for each in utterances]

    def needs_aligner(self, utterances: Sequence[Utterance]) -> bool:
        """Whether some recording has no times that this run can use.

        Its own come first, but a run that was trained on an aligner's takes these instead of a corpus' own.
        """
        replaced = self.aligned_by in ALIGNERS
        return self.aligns and any(
            each.alignment is None or (replaced and each.alignment.kind == "corpus") for each in utterances
        )

    def _prepare(self, utterances: Sequence[Utterance]) -> _Ready:
        found: dict[str, Failure] = {}
        ready, notes = list[Utterance](), dict[str, tuple[str, ...]]()
        for utterance in utterances:
            try:
                notes[utterance.id] = listen(utterance, hears=self.hears, reads=self.reads, max_seconds=self._max_seconds)
            except RefusedError as problem:
                found[utterance.id] = Failure(id=utterance.id, reason=str(problem))
                continue
            ready.append(self._align(utterance, notes))
        return _Ready(utterances=ready, notes=notes, refused=found)

    def _answer(self, chunk: _Ready, make: Callable[..., Said]) -> dict[str, Said | Failure]:
        found: dict[str, Said | Failure] = {**chunk.refused}
        notes = chunk.notes
        answers: dict[str, Answer | str] = self._engine.answer(chunk.utterances) if chunk.utterances else {}
        for name, answer in answers.items():
            if isinstance(answer, str):
                found[name] = Failure(id=name, reason=answer)
            else:
                found[name] = make(name, _noting(answer, notes[name]), self.runs, self.classes)
        return found

    def _align(self, utterance: Utterance, notes: dict[str, tuple[str, ...]]) -> Utterance:
        if self.aligner is None or not self.needs_aligner([utterance]):
            return utterance
        timed, problem = aligned(utterance, self.aligner)
        if problem is not None:
            notes[utterance.id] += (f"{problem}; its phones, syllables and words are one segment over all of it",)
        return timed


def _noting(answer: Answer, notes: tuple[str, ...]) -> Answer:
    """The answer with what was said of its recording before; that it is not aligned is said once."""
    own = [note for note in answer.notes if not any("not aligned" in each for each in notes)]
    return dataclasses.replace(answer, notes=(*notes, *own))


def _only(answers: Sequence[Said | Failure]) -> Said:
    (found,) = answers
    if isinstance(found, Failure):
        raise PredictError(found.reason)
    return found


def _chunks(utterances: Sequence[Utterance]) -> Iterator[list[Utterance]]:
    chunk, seconds = list[Utterance](), 0.0
    for utterance in utterances:
        length = audio_seconds(utterance)
        if chunk and (seconds + length > CHUNK_SECONDS or len(chunk) >= 256):
            yield chunk
            chunk, seconds = [], 0.0
        chunk.append(utterance)
        seconds += length
    if chunk:
        yield chunk
