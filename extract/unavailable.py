"""Why an encoder is not to be had, and what to do about it."""

import json
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

from mer.files.regular_file import read_text_file

HUB_SECONDS = 10.0
"""How long the hub may take for its first answer."""
_SAID_OFFLINE = bool(constants.HF_HUB_OFFLINE)
"""Whether the user wants the hub to be left alone (HF_HUB_OFFLINE)."""


def look_for_the_hub(name: str) -> None:
    """Ask the hub once, before its library tries six times: without an answer, only what was downloaded before is looked at.

    Args:
        name: hub id or folder; nobody is asked for a folder.
    """
    if not Path(name).is_dir():
        hub_answers()


def hub_answers() -> bool:
    """Whether the hub can be asked: the user did not say HF_HUB_OFFLINE, and it is there. Its library is told, too."""
    if _SAID_OFFLINE:
        return False
    constants.HF_HUB_OFFLINE = False
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
    except Exception:  # of whichever network library the installed hub library uses
        constants.HF_HUB_OFFLINE = True
    return not constants.HF_HUB_OFFLINE


def unavailable(name: str, revision: str | None, option: str, problem: Exception, kind: str = "encoder") -> str:
    """What is said where a checkpoint, or a part of it, cannot be read.

    Args:
        name: hub id or folder.
        revision: that was asked for.
        option: command-line option that names it.
        problem: what the reading library ran into.
        kind: what the checkpoint should be.
    """
    folder = Path(name)
    if folder.is_dir():
        files = sorted(entry.name for entry in folder.iterdir())[:8]
        why = _elsewhere(folder, option) or _said(problem)
        return (
            f"{option} {name}: this folder holds no loadable {kind} (found {', '.join(files) or 'nothing'}; expected "
            f"config.json, model.safetensors and the preprocessor or tokenizer files): {why}"
        )
    at = f" at revision {revision!r}" if revision else ""
    said = _said(problem)
    return (
        f"{option} {name}{at}: not a folder here, and the Hugging Face hub did not give it (no network, no such id, or "
        f"a gated model): {said}{token_advice(problem)} On a machine with network, `hf download {name} --local-dir DIR`; then "
        f"give `{option} DIR`."
    )


def token_advice(problem: Exception) -> str:
    """What to do where the hub may have what it does not show to everybody, as a sentence behind a space; else nothing."""
    # The hub answers 401 for what it does not show, and the same for what is not there.
    if not any(mark in str(problem) for mark in ("gated", "401", "403", "private")):
        return ""
    return " A gated or private one asks for its terms to be accepted on its page, and for your token in HF_TOKEN."


def _elsewhere(folder: Path, option: str) -> str | None:
    """Where the encoder is, or belongs to, in folders that hold something around it."""
    try:
        modules = json.loads(read_text_file(folder / "modules.json"))
        place = folder / next(each["path"] for each in modules if each["type"].endswith(".Transformer"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None
    return f"its encoder is in a folder of its own, give `{option} {place}`" if (place / "config.json").is_file() else None


def _said(problem: Exception) -> str:
    said = str(problem).strip()
    return said.split("\n")[0] if said else type(problem).__name__
