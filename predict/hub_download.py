"""A saved run from a folder or from the Hugging Face hub: of an export there, what belongs to it and nothing else."""

import glob
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from mer.extract.unavailable import look_for_the_hub
from mer.predict.errors import PredictError
from mer.predict.hub_errors import refused_download
from mer.predict.saved_run import choose_runs, exported_runs
from mer.results.errors import ResultError
from mer.results.file_hashes import FILES
from mer.results.names import CONFIG, run_stem
from mer.results.run_files import CURE, is_export, read_export, read_json

CARD = "README.md"
"""Where an export has its model card: the one file that may be edited, and so has no hash."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a saved run is read from."""

    folder: Path
    """Where its files are."""
    origin: str
    """The folder as it was given, or `OWNER/NAME@COMMIT` of the hub."""
    downloaded: bool = False
    """Whether the folder is part of the hub's own store of downloads."""


def find_saved(
    source: Path | str, revision: str | None = None, *, folds: Sequence[str] | None = None, seeds: Sequence[int] | None = None
) -> Source:
    """Where a run directory or an export is; one that is on the hub is downloaded first, or found among earlier downloads.

    Args:
        source: a folder, or `OWNER/NAME` of an export on the hub.
        revision: branch, tag or commit on the hub; None is its main branch as it is now.
        folds: of a fine-tuned export, only the models that left these sessions out are downloaded; None takes all.
        seeds: likewise.

    Raises:
        PredictError: a revision of a folder, what the hub does not give, or what is no export.
        ResultError: an export whose `config.json` is damaged or of another version.
    """
    name = hub_id(source)
    if name is not None:
        return _download(name, revision, folds, seeds)
    if revision is not None:
        raise PredictError(
            f"{source}: only what is on the Hugging Face hub has a revision, and this is not asked for there: it is no "
            f"OWNER/NAME, or it, or a folder OWNER, is here; leave revision {revision!r} out"
        )
    return Source(folder=Path(source), origin=str(Path(source)))


def hub_id(source: Path | str) -> str | None:
    """`OWNER/NAME`, if that is what is given; None for a folder, for what is no id, and where a folder OWNER is here."""
    name = Path(source).as_posix()
    if str(source).startswith(".") or name.count("/") != 1 or Path(source).exists() or Path(source).parent.exists():
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


@contextmanager
def told_of(source: Source) -> Iterator[None]:
    """Let errors about downloaded files say what they were downloaded from, and what helps there."""
    try:
        yield
    except ResultError as problem:
        if not source.downloaded:
            raise
        # The store keeps a file under its hash, and would take a damaged one from there again.
        cure = (
            f"remove {source.folder.parents[1]} and give the command again, it downloads anew; if it is refused again, that is "
            "how it was published: ask its owner"
        )
        raise ResultError(f"{source.origin}: {str(problem).replace(CURE, cure)}") from problem


def _download(name: str, revision: str | None, folds: Sequence[str] | None, seeds: Sequence[int] | None) -> Source:
    """The config says what is needed: nothing else of a repository is fetched, and all of it at the config's own commit."""
    look_for_the_hub(name)
    with refused_download(name, revision):
        file = Path(hf_hub_download(name, CONFIG, revision=revision))
    source = Source(folder=file.parent, origin=f"{name}@{file.parent.name}", downloaded=True)
    with told_of(source):
        needed = _needed(source, folds, seeds)
    with refused_download(name, revision):
        snapshot_download(name, revision=file.parent.name, allow_patterns=[glob.escape(each) for each in needed])
    return source


def _needed(source: Source, folds: Sequence[str] | None, seeds: Sequence[int] | None) -> list[str]:
    """The files that an export of these folds and seeds consists of, as its config says."""
    config: Mapping[str, Any] = read_json(source.folder / CONFIG)
    if not is_export(config):
        raise PredictError(
            f"{source.origin}: no export of mer, but a model of type {config.get('model_type')!r}; give the OWNER/NAME of what "
            "`mer export` made"
        )
    config = read_export(source.folder)
    if not config.get(FILES):
        raise PredictError(
            f"{source.origin}: made before exports had hashes of their files, so that nobody could see whether it came whole; "
            "export it again"
        )
    runs = exported_runs(source.folder, config)
    chosen = choose_runs(runs, folds, seeds, Path(source.origin))
    left_out = {run_stem(*run) for run in runs} - {run_stem(*run) for run in chosen}
    return [CONFIG, CARD, *(name for name in config[FILES] if name.partition("/")[0] not in left_out)]
