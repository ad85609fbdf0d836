"""Pipes, devices, sockets, folders and monstrous files where a file is expected: refused in mer's own words, at once."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mer.cache import CacheError, CacheFolder, FeatureCache, verify
from mer.corpus import CorpusError, open_corpus
from mer.corpus.alignment import AlignmentError
from mer.corpus.audio import AudioError, read_header, read_wave
from mer.corpus.class_map_file import read_class_map
from mer.corpus.praat_alignment import TextGridAlignment
from mer.extract.checkpoint_files import damage
from mer.files.regular_file import LARGEST, read_file
from mer.grids.grid import GridError
from mer.grids.grid_file import read_grid
from mer.predict.errors import PredictError
from mer.predict.evaluation import read_map
from mer.predict.recordings import read_recordings
from mer.predict.saved_run import read_saved
from mer.report import ReportError, find_runs
from mer.results.errors import ResultError
from mer.results.whole import check_run
from mer.settings.mer_toml import SettingsError, read_settings
from mer.status import StatusReader

ARCHIVE = Path(__file__).parent / "data"


def pipe(place: Path) -> None:
    os.mkfifo(place)


def unix_socket(place: Path) -> None:
    # The path of a socket has little room.
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{short}/s")
        shutil.move(f"{short}/s", place)


def device(place: Path) -> None:
    place.symlink_to("/dev/zero")


def folder(place: Path) -> None:
    place.mkdir()


def monstrous(place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(LARGEST * 20)


SPECIAL = {"pipe": pipe, "socket": unix_socket, "device": device, "folder": folder, "monstrous": monstrous}
OURS = (
    *(CorpusError, AudioError, AlignmentError, CacheError, GridError, PredictError, ReportError, ResultError, SettingsError),
    OSError,
)


@contextmanager
def at_once(seconds: int = 5) -> Iterator[None]:
    """Nothing may wait; loading what a reader imports is not counted, as all is loaded above."""

    def hang(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "audio": ("a.wav", lambda file: read_wave(file, 16_000)),
    "audio header": ("a.flac", read_header),
    "TextGrid": ("a.TextGrid", lambda file: TextGridAlignment(path=file).read()),
    "alignment in JSON": ("a.json", lambda file: TextGridAlignment(path=file).read()),
    "manifest": ("m.csv", open_corpus),
    "manifest in JSON Lines": ("m.jsonl", open_corpus),
    "class map": ("c.toml", read_class_map),
    "grid": ("g.toml", lambda file: read_grid(str(file))),
    "labels": ("l.toml", read_map),
    "settings": ("mer.toml", read_settings),
    "recordings": ("list.csv", read_recordings),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_at_once(reader: str, kind: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    SPECIAL[kind](tmp_path / name)
    with at_once(), pytest.raises(OURS) as refused:
        read(tmp_path / name)
    assert name in str(refused.value)


def refusal(read: Callable[[], object], otherwise: str) -> str:
    """What a reader refuses with; otherwise where it looks past what it cannot read."""
    try:
        read()
    except OURS as refused:
        return str(refused)
    return otherwise


RUN = next((ARCHIVE / "results-v1" / "runs").glob("*late*")).name


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["result.json", "config.json", "predictions.csv", "provenance.json"])
def test_a_run_with_something_else_in_place_of_a_file_is_an_error_or_looked_past(name: str, kind: str, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(ARCHIVE / "results-v1" / "runs", tmp_path / "runs"))
    (runs / RUN / name).unlink()
    SPECIAL[kind](runs / RUN / name)
    readers: tuple[Callable[[], object], ...] = (
        lambda: find_runs((runs / RUN,)),
        lambda: read_saved(runs / RUN),
        lambda: check_run(runs / RUN),
        lambda: StatusReader(places=(runs,), caches=tmp_path, required=True).read(0.0),
    )
    for read in readers:
        with at_once():
            assert RUN in refusal(read, RUN)


CACHE = next((ARCHIVE / "cache-v1").glob("*/*"))
FILES = sorted(each.relative_to(CACHE).as_posix() for each in CACHE.rglob("*") if each.is_file() and each.name != "plan.json")
"""Less what versions before this one planned, which is not read."""


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", FILES)
def test_a_cache_with_something_else_in_place_of_a_file_is_not_read(name: str, kind: str, tmp_path: Path) -> None:
    cache = Path(shutil.copytree(CACHE, tmp_path / CACHE.parent.name / CACHE.name))
    (cache / name).unlink()
    SPECIAL[kind](cache / name)
    with at_once():
        assert cache.name in refusal(lambda: FeatureCache(CacheFolder.find(cache)), cache.name)
        if name != "spec.json":
            assert not verify(CacheFolder.find(cache), full=True).ok or name == "verified.json"


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_an_encoder_with_something_else_in_place_of_a_file_is_damaged(
    name: str, kind: str, text_encoder_folder: Path, tmp_path: Path
) -> None:
    encoder = Path(shutil.copytree(text_encoder_folder, tmp_path / "encoder"))
    (encoder / name).unlink()
    SPECIAL[kind](encoder / name)
    with at_once():
        found = damage(encoder)
    assert found is not None
    assert name in found


def test_the_bound_is_told_with_the_size(tmp_path: Path) -> None:
    monstrous(tmp_path / "a.json")
    with pytest.raises(OSError, match=r"21,474,836,480 bytes, more than the 1,073,741,824 that such a file may have.*a\.json"):
        read_file(tmp_path / "a.json")
