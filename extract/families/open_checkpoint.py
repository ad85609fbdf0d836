"""From a hub id or folder to a checkpoint of the family that reads it."""

from importlib import import_module
from typing import Any

from mer.extract.checkpoint_files import COPY_AGAIN
from mer.extract.families.registry import BERT_LIKE, SPEECH_FAMILIES, TEXT_FAMILIES
from mer.extract.families.speech_checkpoint import SpeechCheckpoint
from mer.extract.families.text_checkpoint import TextCheckpoint
from mer.extract.lora import MERGE, Adapter, adapter_in
from mer.extract.pretrained import EncoderError, load_config
from mer.settings import UnknownEntryError


def open_speech(name: str, revision: str | None = None, *, option: str = SpeechCheckpoint.option) -> SpeechCheckpoint:
    """The checkpoint of a speech encoder.

    Args:
        name: hub id or folder.
        revision: branch, tag or commit of a hub id.
        option: command-line option that names it, for errors.

    Raises:
        EncoderError: no such encoder, of no registered family, or incomplete.
    """
    adapter, base, revision = _base_of(name, revision, option)
    config = load_config(base, revision, option, SPEECH_FAMILIES)
    try:
        family = _class_of(SPEECH_FAMILIES[config.model_type])
    except UnknownEntryError as problem:
        raise EncoderError(
            f"{option} {name}: a {config.model_type!r} model is no speech encoder that mer can read; {problem}"
        ) from None
    if option != family.option:
        family = type(family.__name__, (family,), {"option": option, "__module__": family.__module__})
    found: SpeechCheckpoint = _made(family, base, revision, config, adapter)
    return found


def open_text(name: str, revision: str | None = None) -> TextCheckpoint:
    """The checkpoint of a text encoder; see `open_speech`."""
    adapter, base, revision = _base_of(name, revision, "--text-model")
    config = load_config(base, revision, "--text-model", TEXT_FAMILIES)
    kind = config.model_type if config.model_type in TEXT_FAMILIES else BERT_LIKE
    found: TextCheckpoint = _made(_class_of(TEXT_FAMILIES[kind]), base, revision, config, adapter)
    return found


def _base_of(name: str, revision: str | None, option: str) -> tuple[Adapter | None, str, str | None]:
    """The adapter in a folder if it is one, and the encoder that is read with its revision."""
    adapter = adapter_in(name, option)
    return (None, name, revision) if adapter is None else (adapter, adapter.base, adapter.revision)


def _made(family: Any, name: str, revision: str | None, config: Any, adapter: Adapter | None) -> Any:
    """The checkpoint; a config of wrong types may break anywhere in a family of ours, one of the user's own shows where."""
    # What a branch or a tag was when the config was read: the other files are of the same commit.
    revision = getattr(config, "_commit_hash", None) or revision
    try:
        made = family(name, revision, config)
    except (TypeError, ValueError, AttributeError, OverflowError, ZeroDivisionError) as problem:
        if isinstance(problem, EncoderError) or not family.__module__.startswith("mer.extract."):
            raise
        raise EncoderError(
            f"{family.option} {name}: its configuration is damaged ({problem}); {COPY_AGAIN}, config.json first"
        ) from problem
    made.adapter = adapter
    if adapter is not None and made.loads_itself:
        raise EncoderError(f"{made.title}: the family {family.__name__} reads its weights itself, without adapters; {MERGE}")
    return made


def _class_of(entry: type | str) -> Any:
    if isinstance(entry, type):
        return entry
    module, _, name = entry.partition(":")
    return getattr(import_module(module), name)
