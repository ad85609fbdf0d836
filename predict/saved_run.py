"""Finding out what a folder holds: a result of `mer train-head` or `mer finetune`, or an export of one."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.cache.encoder_folders import noted_places
from mer.predict.errors import PredictError
from mer.predict.saved_head import Run, SavedHead, SavedPart, SavedWeights, saved_part
from mer.results.combination import COMBINATION
from mer.results.errors import ResultError
from mer.results.file_hashes import FILES, check_files
from mer.results.names import CONFIG, FINISHED, RESULT, WEIGHTS, run_stem
from mer.results.run_files import (
    CURE,
    EXPORT_FORMAT,
    EXPORT_SHAPE,
    check_document,
    is_export,
    read_json,
    read_result,
    read_starts,
)


@dataclass(frozen=True, kw_only=True)
class SavedModels:
    """Models of a fine-tuned result, each a folder of `mer.finetune.model_folder`."""

    folder: Path
    """Where the result was read from."""
    classes: tuple[str, ...]
    """Class names in the order of the logits."""
    models: tuple[tuple[Run, Path], ...]
    """Folds and seeds with their folders, in the order of the result."""
    hashes: Mapping[Path, Mapping[str, str]]
    """Folder to the SHA-256 of files below it, as the file that was written last there has them."""

    def files(self, runs: Sequence[Run]) -> dict[Path, list[str]]:
        """What the answers of some runs depend on, less the weights: `load_model` compares them with the config."""
        found: dict[Path, list[str]] = {}
        for folder, hashes in self.hashes.items():
            places = [path.relative_to(folder).as_posix() for run, path in self.models if run in runs]
            there = [name for name in hashes if any(name.startswith(f"{place}/") for place in places)]
            needed = dict.fromkeys([*(f"{place}/config.json" for place in places), *there])
            found[folder] = [name for name in needed if not name.endswith(".safetensors")]
        return found

    @property
    def runs(self) -> tuple[Run, ...]:
        """Folds and seeds."""
        return tuple(run for run, _ in self.models)


def read_saved(folder: Path) -> tuple[SavedHead | SavedModels, dict[str, Any]]:
    """What a folder holds, and the document that describes it (`result.json`, or the `result` of an export).

    Raises:
        PredictError: no such folder, an unfinished result, or one without weights.
        ResultError: a file that is damaged, foreign or of another version.
    """
    if not folder.is_dir():
        raise PredictError(
            f"{folder}: no such folder; give a run directory, such as those in runs/, an exported folder, or OWNER/NAME of "
            "an export on the Hugging Face hub"
        )
    if (folder / RESULT).exists():
        document = read_result(folder)
        if document["config"].get("fusion") == COMBINATION:
            raise PredictError(
                f"{folder}: a combination of finished runs has no weights of its own; give one of the runs that it is made of: "
                f"{', '.join(each['directory'] for each in document['combined'])}"
            )
        if "encoders" in document:
            return _models(folder, document, folder / WEIGHTS), document
        return _head_of_run(folder, document), document
    config = read_json(folder / CONFIG) if (folder / CONFIG).exists() else {}
    if is_export(config):
        check_document(folder / CONFIG, config, EXPORT_FORMAT, EXPORT_SHAPE)
        return _exported(folder, config), config["result"]
    if (folder / FINISHED).is_dir():
        raise PredictError(f"{folder}: this result is not finished; give the command that trains it again, it goes on from there")
    raise PredictError(
        f"{folder}: neither a run directory (no result.json) nor an exported folder (config.json says format "
        f"{config.get('format')!r}); give one that `mer train-head`, `mer finetune` or `mer export` wrote"
    )


def check_saved(saved: SavedHead | SavedModels, runs: Sequence[Run]) -> tuple[str, ...]:
    """Compare the files that some runs answer from with the hashes that were written last.

    Returns:
        What could not be checked, in words: results that were made before there were hashes.

    Raises:
        ResultError: a file that is not what was written.
    """
    remarks = []
    for folder, names in saved.files(runs).items():
        unchecked = check_files(folder, saved.hashes[folder], names, CURE)
        if unchecked:
            remarks.append(
                f"{folder}: made before weights were hashed: not checked ({len(unchecked)} files, first {unchecked[0]})"
            )
    return tuple(remarks)


def choose_runs(runs: Sequence[Run], folds: Sequence[str] | None, seeds: Sequence[int] | None, folder: Path) -> tuple[Run, ...]:
    """The runs of these folds and seeds; None takes all.

    Raises:
        PredictError: a fold or seed that the result does not have.
    """
    for noun, wanted, there in (
        ("fold", folds, dict.fromkeys(fold for fold, _ in runs)),
        ("seed", seeds, dict.fromkeys(seed for _, seed in runs)),
    ):
        missing = [each for each in wanted or () if each not in there]
        if missing:
            raise PredictError(f"{folder}: no {noun} {', '.join(map(str, missing))}; it has {', '.join(map(str, there))}")
    chosen = tuple(run for run in runs if (folds is None or run[0] in folds) and (seeds is None or run[1] in seeds))
    if not chosen:
        raise PredictError(f"{folder}: none of its {len(runs)} runs has such a fold and seed")
    return chosen


def _head_of_run(folder: Path, document: dict[str, Any]) -> SavedHead:
    parts = [folder.parent / name for name in document["parts"]] if "parts" in document else [folder]
    missing = [part for part in parts if not (part / RESULT).is_file()]
    if missing:
        raise PredictError(
            f"{folder}: multi-level fusion answers with the two heads it is made of, and {missing[0]} is not there; keep the "
            "three folders side by side, or export this one where they are"
        )
    if "features" not in document:
        raise PredictError(
            f"{folder}: trained by an earlier mer, which did not write down the features; move it away and train again"
        )
    runs = _runs(document)
    documents = {part: read_result(part) if part != folder else document for part in parts}
    return SavedHead(
        folder=folder,
        hashes={part: each.get(FILES, {}) for part, each in documents.items()},
        classes=tuple(document["summary"]["classes"]),
        features=document["features"],
        parts=tuple(_part_of_run(part, each, runs) for part, each in documents.items()),
        runs=runs,
        places={name: place for part in parts for name, place in _encoder_places(part).items()},
    )


def _encoder_places(part: Path) -> dict[str, Path]:
    """Where the encoders of a run were when it was trained; nothing where that is not known."""
    with suppress(ResultError):  # no answer depends on provenance: weights are compared with the hashes in the result
        return noted_places(part, read_starts(part))
    return {}


def _part_of_run(folder: Path, document: dict[str, Any], runs: Sequence[Run]) -> SavedPart:
    weights = {run: SavedWeights(path=folder / WEIGHTS / f"{run_stem(*run)}.safetensors") for run in runs}
    missing = [each.path for each in weights.values() if not each.path.is_file()]
    if missing:
        raise PredictError(
            f"{folder}: {len(missing)} of {len(runs)} runs have no weights (first: {missing[0].name}); copy the folder whole, or "
            "move it away and train again"
        )
    return saved_part(document["config"], document["layers"], weights, folder)


def _models(folder: Path, document: dict[str, Any], place: Path) -> SavedModels:
    models = tuple((run, place / run_stem(*run)) for run in _runs(document))
    there = tuple((run, path) for run, path in models if (path / CONFIG).is_file())
    if not there:
        raise PredictError(f"{folder}: no run's weights are there; `mer finetune` keeps them unless it is told --no-weights")
    hashes = {folder: document.get(FILES, {})}
    return SavedModels(folder=folder, classes=tuple(document["summary"]["classes"]), models=there, hashes=hashes)


def exported_runs(folder: Path, config: Mapping[str, Any]) -> tuple[Run, ...]:
    """Folds and seeds of an export; raises ResultError where they are none."""
    if wrong := [each for each in config["runs"] if [type(value) for value in each] != [str, int]]:
        raise ResultError(f"{folder / CONFIG}: is not what mer writes: a run is a fold and a seed, got {wrong[0]!r}; {CURE}")
    return tuple((fold, seed) for fold, seed in config["runs"])


def _exported(folder: Path, config: dict[str, Any]) -> SavedHead | SavedModels:
    runs = exported_runs(folder, config)
    if len(set(config["classes"])) < len(config["classes"]):
        raise ResultError(f"{folder / CONFIG}: is not what mer writes: a class is named twice; {CURE}")
    classes, hashes = tuple(config["classes"]), {folder: config.get(FILES, {})}
    if config["kind"] == "finetuned":
        models = tuple((run, folder / run_stem(*run)) for run in runs)
        return SavedModels(folder=folder, classes=classes, models=models, hashes=hashes)
    file = folder / "model.safetensors"
    if not file.is_file():
        raise PredictError(f"{file}: not there; copy the exported folder again")
    parts = tuple(
        saved_part(
            part["config"],
            part["layers"],
            {run: SavedWeights(path=file, prefix=f"{number}.{run_stem(*run)}.") for run in runs},
            folder,
        )
        for number, part in enumerate(config["parts"])
    )
    return SavedHead(folder=folder, classes=classes, features=config["features"], parts=parts, runs=runs, hashes=hashes)


def _runs(document: dict[str, Any]) -> tuple[Run, ...]:
    return tuple((str(row["fold"]), int(row["seed"])) for row in document["runs"])
