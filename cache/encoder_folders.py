"""Where encoders that were folders are, for whoever needs them again: a help to find them, never a part of an identity.

Paths are kept as they lead there from the folder that names them, so that they hold when all of it moves together.
"""

import os
from collections.abc import Mapping
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


def noted_places(folder: Path, note: Mapping[str, Any]) -> dict[str, Path]:
    """The folders that a note names, as far as they are still there.

    Args:
        folder: that keeps the note.
        note: provenance; whatever it holds, since nothing checks it.
    """
    kept = note.get(NOTE)
    named = {name: folder / place for name, place in kept.items() if isinstance(place, str)} if isinstance(kept, dict) else {}
    return {name: place.resolve() for name, place in named.items() if place.is_dir()}
