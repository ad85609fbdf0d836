"""Recordings decoded once for several encoders: what the first has decoded is kept until the last has read it.

The encoders of a set run one after the other, each with all of the memory. Waveforms wait for the next one in a hidden folder
beside the caches, since many hours of them fit into no memory. A wav file that is read as it is is not kept: reading the copy
would take as long.
"""

import json
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mer.corpus import Utterance
from mer.corpus.audio import Wave, read_recording
from mer.extract.inputs import audio_digest
from mer.files.atomic_write import Disk, sweep_temporaries, temporary_name
from mer.files.folders import make_folder
from mer.files.regular_file import read_file


@dataclass(frozen=True, kw_only=True)
class DecodedOnce:
    """Waveforms in a folder, by their recordings' bytes; any process may read and add to them."""

    folder: Path
    """Where they are; it goes away with the command."""
    left_free: int
    """Bytes of the disk that are not theirs: what the caches will take."""

    def __call__(self, utterance: Utterance, sample_rate: int) -> Wave:
        """An utterance's waveform, decoded unless that has been done.

        Args:
            utterance: any of the corpus.
            sample_rate: of the waveform, in Hz.

        Raises:
            AudioError: as `read_recording`.
        """
        digest = audio_digest(utterance)
        if digest is None:  # unreadable: the decoder says why
            return read_recording(utterance, sample_rate)
        # A part's mark may hold any characters.
        place = self.folder / f"{zlib.crc32(digest.encode()):08x}-{digest[:64]}-{sample_rate}"
        found = _read(place, digest)
        if found is None:
            found = read_recording(utterance, sample_rate)
            if found.conversions() or utterance.wav.suffix.lower() != ".wav":
                self._keep(place, digest, found)
        return found

    def _keep(self, place: Path, digest: str, wave: Wave) -> None:
        """Write a waveform, where there is room; without it the next encoder decodes the recording again, to the same numbers."""
        samples = wave.samples.tobytes()
        about = {"of": digest, "check": zlib.crc32(samples), "from": [wave.resampled_from, wave.downmixed_from], "odd": wave.odd}
        part = self.folder / temporary_name("wave")
        with suppress(OSError):
            if shutil.disk_usage(self.folder).free - len(samples) < self.left_free:
                return
            try:
                part.write_bytes(json.dumps(about).encode() + b"\n" + samples)
                part.replace(place)
            finally:
                part.unlink(missing_ok=True)


@contextmanager
def decoded_once(beside: Path, encoders: int, left_free: int) -> Iterator[DecodedOnce | None]:
    """A folder for what several encoders read, which is removed at the end; after a kill the next extraction removes it.

    Args:
        beside: folder of the corpus' caches, there already or not.
        encoders: speech encoders that will read the recordings; nothing is kept for one.
        left_free: bytes of the disk that the caches will take.

    Raises:
        OSError: no folder can be made there.
    """
    if encoders < 2:
        yield None
        return
    make_folder(beside)
    sweep_temporaries(beside, Disk())
    folder = beside / temporary_name("decoded")
    folder.mkdir()
    try:
        yield DecodedOnce(folder=folder, left_free=left_free)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read(place: Path, digest: str) -> Wave | None:
    """What was kept; None where there is nothing, or not what was written."""
    try:
        head, _, samples = read_file(place).partition(b"\n")
        about = json.loads(head)
        whole = about["of"] == digest and about["check"] == zlib.crc32(samples)
    except (OSError, ValueError, KeyError):
        return None
    if not whole:
        return None
    resampled_from, downmixed_from = about["from"]
    # A copy, since PyTorch takes no array that cannot be written to.
    wave = np.frombuffer(samples, np.float32).copy()
    return Wave(samples=wave, resampled_from=resampled_from, downmixed_from=downmixed_from, odd=tuple(about["odd"]))
