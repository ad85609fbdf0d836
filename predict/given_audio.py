"""Recordings as Python has them, a path, the bytes of a file, or samples with their rate, as the files that are read."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile

from mer.corpus import Utterance
from mer.predict.errors import PredictError

Audio = Path | str | bytes | tuple[Any, int]
"""An audio file; what such a file holds; or an array (samples) or (samples, channels) with its rate in Hz."""
Given = Utterance | tuple[Audio, str | None]
"""An utterance, or audio and what is said in it."""

SUBTYPES = {"float32": "FLOAT", "float64": "DOUBLE", "int16": "PCM_16", "int32": "PCM_32"}
"""Type of an array to that of a wav file which holds the same numbers."""
OF_MEDIA = ((4, b"ftyp", ".m4a"), (0, b"\x1a\x45\xdf\xa3", ".webm"), (0, b"#!AMR", ".amr"), (0, b"\x30\x26\xb2\x75", ".wma"))
"""Where, and by which bytes, files are known that are told by their ending; libsndfile knows its own by what is in them."""


@dataclass(frozen=True, kw_only=True)
class GivenRecordings:
    """Recordings that are all files for the time of a call."""

    utterances: list[Utterance]
    """In the order in which they were given, with different ids where no utterance brings its own."""
    folder: Path
    """Where those are that were no files."""

    def worded(self, text: str) -> str:
        """A message without the place of a file that its reader never saw."""
        return text.replace(f"{self.folder}{os.sep}", "")


@contextmanager
def as_files(given: Sequence[Given]) -> Iterator[GivenRecordings]:
    """Write what is no file yet into a temporary folder: what reads and checks files then reads and checks all alike.

    Args:
        given: utterances, or pairs of audio and text.

    Raises:
        PredictError: audio of no known kind, or an array that is not one or two-dimensional, or of another type.
    """
    with TemporaryDirectory(prefix="mer-") as place:
        folder, found = Path(place), list[Utterance]()
        taken = {each.id for each in given if isinstance(each, Utterance)}
        for each in given:
            if isinstance(each, Utterance):
                found.append(each)
                continue
            audio, text = each
            name = _new_name((Path(audio).stem or "text") if isinstance(audio, Path | str) else "recording", taken)
            taken.add(name)
            found.append(recording(_file(audio, folder / name), text, name=name))
        yield GivenRecordings(utterances=found, folder=folder)


def recording(wav: Path | str, text: str | None, *, name: str | None = None, alignment: Any = None) -> Utterance:
    """A recording of which nothing but audio and text is known.

    Args:
        wav: audio file.
        text: what is said.
        name: its id; None takes the file's name without its ending.
        alignment: where its times are, such as a `TextGridAlignment`.
    """
    path = Path(wav)
    return Utterance(id=name or path.stem or "text", wav=path, text=text, label="", speaker="", session="", alignment=alignment)


def _file(audio: Audio, place: Path) -> Path:
    if isinstance(audio, Path | str):
        return Path(audio)
    if isinstance(audio, bytes | bytearray | memoryview):
        content = bytes(audio)
        ending = next((end for start, mark, end in OF_MEDIA if content[start:].startswith(mark)), "")
        path = place.with_name(place.name + ending)
        path.write_bytes(content)
        return path
    if not (isinstance(audio, tuple) and len(audio) == 2):
        raise PredictError(f"audio is a path, the bytes of a file, or (array, rate); got {type(audio).__name__}")
    return _write_samples(*audio, place)


def _write_samples(array: Any, rate: Any, place: Path) -> Path:
    samples = np.asarray(array)
    subtype = SUBTYPES.get(samples.dtype.name)
    if subtype is None:
        raise PredictError(f"samples are {', '.join(SUBTYPES)}, got {samples.dtype}; full scale is 1.0, or the type's own")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] > samples.shape[0]):
        raise PredictError(f"samples have the shape (samples) or (samples, channels), got {samples.shape}; give array.T?")
    if not isinstance(rate, int | np.integer) or rate < 1:
        raise PredictError(f"the rate of samples is a whole number of Hz, got {rate!r}")
    soundfile.write(place, samples, int(rate), subtype=subtype, format="WAV")
    return place


def _new_name(base: str, taken: set[str]) -> str:
    names = (base, *(f"{base}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)
