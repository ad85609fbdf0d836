"""Where encoders that were folders are, for whoever needs them again: a help to find them, never a part of an identity.

Paths are kept as they lead there from the folder that names them, so that they hold when all of it moves together.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

NOTE = "encoder_folders"
"""Key of the note in a sidecar's provenance, and in that of a run."""


def places_from(folder: Path, places: Mapping[str, str | Path]) -> dict[str, str]:
    """Paths from a folder to those encoders that are folders; hub ids are left out.

    Args:
        folder: that keeps the note.
        places: hub id or folder by the encoder's name, such as `speech`.
    """
    there = {name: os.path.realpath(place) for name, place in places.items() if Path(place).is_dir()}
    return {name: Path(os.path.relpath(place, os.path.realpath(folder))).as_posix() for name, place in there.items()}


def noted_places(folder: Path, notes: Iterable[Mapping[str, Any]]) -> dict[str, Path]:
    """The folders that notes name, as far as they are still there; of several for an encoder, the last.

    Args:
        folder: that keeps the notes.
        notes: provenances; whatever they hold, since nothing checks them.
    """
    kept = [each for note in notes if isinstance(each := note.get(NOTE), dict)]
    # Thousands of shards name the same few, which are looked for once.
    named = dict.fromkeys((name, place) for each in kept for name, place in each.items() if isinstance(place, str))
    return {name: (folder / place).resolve() for name, place in named if (folder / place).is_dir()}
