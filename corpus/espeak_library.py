"""The library of the speech synthesiser espeak-ng, loaded from the package `espeakng-loader`."""

import ctypes
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mer.corpus.utterance import CorpusError

_SYNCHRONOUS = 2
_PHONEME_EVENTS = 1
_DONT_EXIT = 0x8000


@dataclass(frozen=True, kw_only=True, slots=True)
class EspeakLibrary:
    """One loaded engine, which nobody else in this process uses."""

    functions: Any
    """The ctypes library; its functions have no static types."""
    sample_rate: int
    """Hz, of everything it says."""
    version: str
    """espeak-ng's own version: another one may sound different."""


def load_espeak(loader: ModuleType) -> EspeakLibrary:
    """Load and start a fresh engine.

    espeak-ng keeps its voice, noise and flutter in static variables that no call resets, so each engine is loaded from a
    private copy of the library. What is asked of one engine never changes what another one says.

    Args:
        loader: the module `espeakng_loader`, which its user has imported or refused in his own words.

    Raises:
        CorpusError: the library does not start.
    """
    # A loaded library no longer needs its file; Windows keeps the file, and the folder stays for the system to clean.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        functions: Any = ctypes.CDLL(shutil.copy(loader.get_library_path(), folder))
    data = str(Path(loader.get_data_path())).encode()
    sample_rate = functions.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _DONT_EXIT)
    if sample_rate <= 0:
        raise CorpusError(
            f"espeak-ng did not start with its data in {data.decode()}; reinstall it: "
            'pip install --force-reinstall "espeakng-loader"'
        )
    functions.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    functions.espeak_Info.restype = ctypes.c_char_p
    return EspeakLibrary(functions=functions, sample_rate=sample_rate, version=functions.espeak_Info(None).decode())
