"""Finished results of any kind as one: what their runs of the same fold and seed said, averaged."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from mer.protocol import ClassMap
from mer.protocol.dimensions import dimensions_of
from mer.protocol.mixture import Logits, log_mixture, mixture_weights
from mer.results.errors import ResultError
from mer.results.file_hashes import sha256_of
from mer.results.finished_run import FinishedRun
from mer.results.names import LOGITS, RESULT_FORMAT, VALIDATION, Key, run_folder, run_stem
from mer.results.result import Result
from mer.results.result_document import result_values
from mer.results.row_names import read_row, row_names
from mer.results.run_answers import RunLogits, read_test_logits, read_validation_logits
from mer.results.run_directory import RunDirectory
from mer.results.run_files import read_finished_result, read_result

COMBINATION = "combination"
"""What the config of a combined result has as `fusion`."""
WEIGHTS = ("equal", "validation")
"""How the parts are weighted: all alike, or for each fold and seed by its validation utterances."""

Mean = Callable[[Logits], Float64[np.ndarray, "utterances classes"]]
"""Logits of all parts about some utterances to those of their combination."""
Styles = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, str]]
"""Documents of results to the style of each utterance, as far as it is known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """One of the results that are combined."""

    directory: Path
    """Its run directory."""
    name: str
    """What its row is called."""
    result: Mapping[str, Any]
    """Its `result.json`."""
    test: Mapping[Key, RunLogits]
    """What its runs said about the test utterances."""
    validation: Mapping[Key, RunLogits]
    """What they said about the validation utterances; empty where nothing was kept."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How results are combined, and where the combination goes."""

    weights: str
    """One of `WEIGHTS`."""
    runs: Path
    """Folder of run directories."""
    name: str | None
    """What the row is called; made of the parts' names by default."""


def combine(directories: Sequence[Path | str], asked: Asked, *, styles: Styles, start: Mapping[str, Any]) -> Result:
    """Average the probabilities of finished results and write `runs/<corpus>-combination-<digest>/`.

    One that is there already is returned.

    Args:
        directories: two run directories or more; of heads, of whole encoders, or of combinations.
        asked: the rest.
        styles: asked for the style of each utterance.
        start: versions and command, for `provenance.json`.

    Raises:
        ResultError: results that were not tested on the same utterances, an unfinished one, or a damaged file.
    """
    parts = _read_parts([Path(each) for each in directories])
    _check_alike(parts)
    if asked.weights == "validation":
        _check_validation(parts)
    first, names = parts[0].result, " + ".join(part.name for part in parts)
    name = asked.name or f"{COMBINATION} of {names}" + ("" if asked.weights == "equal" else ", weighted")
    identity = {
        "format": RESULT_FORMAT,
        "config": {"fusion": COMBINATION, "weights": asked.weights, "name": name},
        "parts": [_digests(part, asked.weights) for part in parts],
    }
    directory = RunDirectory(asked.runs / run_folder(first["corpus"], [COMBINATION], identity), identity, epoch=_no_epoch)
    if (existing := directory.result()) is not None:
        directory.tidy()
        return Result(directory=directory.path, values=existing, reused=True)
    directory.append_provenance(start)
    classes: tuple[str, ...] = tuple(first["summary"]["classes"])
    keys = [key for key in parts[0].test if all(key in part.test for part in parts)]
    shares = {key: _weights(parts, key, classes, asked.weights) for key in keys}
    finished = [combined_run(parts, key, classes, partial(log_mixture, weights=shares[key])) for key in keys]
    document = _document(parts, asked, name, classes, finished, styles([part.result for part in parts]))
    document["combined"] = [
        {
            "name": part.name,
            "directory": Path(os.path.relpath(part.directory.resolve(), directory.path.resolve())).as_posix(),
            "weights": {run_stem(*key): shares[key][place] for key in keys},
        }
        for place, part in enumerate(parts)
    ]
    return Result(directory=directory.path, values=directory.finish(finished, classes, document), reused=False)


def combined_run(parts: Sequence[Part], key: Key, classes: Sequence[str], mean: Mean) -> FinishedRun:
    """One fold and seed of a combination.

    Its validation utterances are there only where every part kept the same ones.

    Raises:
        ResultError: parts that were tested on different utterances.
    """
    found = [part.test[key] for part in parts]
    if any(set(each.ids) != set(found[0].ids) for each in found):
        raise ResultError(f"fold {key[0]}, seed {key[1]}: {_listed(parts)} were tested on different utterances")
    held_out = [part.validation[key] for part in parts if key in part.validation]
    same = len(held_out) == len(parts) and all(set(each.ids) == set(held_out[0].ids) for each in held_out)
    validation = held_out if same else []
    return FinishedRun(
        fold=key[0],
        seed=key[1],
        best_epoch=0,
        epochs=(),
        ids=found[0].ids,
        truth=_truth(found[0], classes),
        logits=_rows(mean(_stacked(found))),
        validation_ids=validation[0].ids if validation else (),
        validation_truth=_truth(validation[0], classes) if validation else (),
        validation_logits=_rows(mean(_stacked(validation))) if validation else (),
        layer_shares={},
        seconds=0.0,
    )


def read_part(directory: Path, result: Mapping[str, Any], name: str) -> Part:
    """A finished result with what its runs said; raises ResultError for files that are not what was written."""
    return Part(
        directory=directory,
        name=name,
        result=result,
        test=read_test_logits(directory, result),
        validation=read_validation_logits(directory, result),
    )


def _read_parts(directories: Sequence[Path]) -> list[Part]:
    places = [each.resolve() for each in directories]
    if len(places) < 2:
        raise ResultError(f"expected two run directories or more to combine, got {len(places)}")
    if twice := [each for each, place in zip(directories, places, strict=True) if places.count(place) > 1]:
        raise ResultError(f"{twice[0]} is given twice; give different results")
    for each in directories:
        if rated := dimensions_of(read_finished_result(each)["config"]):
            raise ResultError(
                f"{each}: predicts ratings ({', '.join(rated)}), and probabilities are what is averaged; leave it out"
            )
    names = row_names([read_row(each) for each in directories])
    return [read_part(each, read_result(each), name) for each, name in zip(directories, names, strict=True)]


def _check_alike(parts: Sequence[Part]) -> None:
    """Refuse results that were not tested on the same utterances."""
    first = parts[0]
    for part in parts[1:]:
        for what, mine, theirs in (
            ("corpus", first.result["corpus"], part.result["corpus"]),
            ("classes", ", ".join(first.result["summary"]["classes"]), ", ".join(part.result["summary"]["classes"])),
            ("folds", *(", ".join(sorted({fold for fold, _ in _keys(each)})) for each in (first, part))),
            ("seeds", *(", ".join(map(str, sorted({seed for _, seed in _keys(each)}))) for each in (first, part))),
        ):
            if mine != theirs:
                raise ResultError(f"the {what} differ: {first.name} has {mine}, {part.name} has {theirs}{_CURE}")
        for key in (key for key in first.test if key in part.test):
            _check_utterances(f"fold {key[0]}, seed {key[1]}", (first, first.test[key]), (part, part.test[key]))
    if not any(all(key in part.test for part in parts) for key in first.test):
        raise ResultError(f"no fold and seed was finished by all of {_listed(parts)}, so there is nothing to average")


def _check_utterances(where: str, one: tuple[Part, RunLogits], other: tuple[Part, RunLogits]) -> None:
    """Refuse runs about other utterances, or about the same ones with other labels."""
    (first, mine), (second, theirs) = one, other
    for here, there, more in ((first, second, set(mine.ids) - set(theirs.ids)), (second, first, set(theirs.ids) - set(mine.ids))):
        if more:
            raise ResultError(
                f"the utterances differ: in {where}, {here.name} has {len(more):,} that {there.name} lacks, first "
                f"{min(more)}{_CURE}"
            )
    label = dict(zip(theirs.ids, theirs.labels, strict=True))
    for name, own in zip(mine.ids, mine.labels, strict=True):
        if label[name] != own:
            raise ResultError(f"the labels differ: {name} is {own} in {first.name} and {label[name]} in {second.name}{_CURE}")


_CURE = "; combine results of one corpus, with the same classes, folds and seeds"


def _check_validation(parts: Sequence[Part]) -> None:
    """Refuse weights by a validation part that is unknown, or that a part was trained on."""
    for part in parts:
        missing = [key for key in parts[0].test if key in part.test and key not in part.validation]
        if missing:
            raise ResultError(
                f"{part.directory}: does not hold what its run of fold {missing[0][0]}, seed {missing[0][1]} said about its "
                "validation utterances (nobody was held out, or an earlier mer trained it); use --weights equal, or move the "
                "folder away and train it again"
            )
        for key in (key for key in parts[0].validation if key in part.validation):
            where = f"the validation part of fold {key[0]}, seed {key[1]}"
            _check_utterances(where, (parts[0], parts[0].validation[key]), (part, part.validation[key]))


def _keys(part: Part) -> set[Key]:
    """Folds and seeds that were asked for, with a number or without."""
    return {*part.test, *((str(each["fold"]), int(each["seed"])) for each in part.result["failed_runs"])}


def _weights(parts: Sequence[Part], key: Key, classes: Sequence[str], rule: str) -> list[float]:
    if rule == "equal":
        return [1 / len(parts)] * len(parts)
    held_out = [part.validation[key] for part in parts]
    return mixture_weights(_stacked(held_out), np.array(_truth(held_out[0], classes), dtype=np.int64))


def _stacked(parts: Sequence[RunLogits]) -> Logits:
    """Logits of all parts, in the order of the first one's utterances."""
    places = [{name: place for place, name in enumerate(each.ids)} for each in parts]
    return np.stack([each.logits[[place[name] for name in parts[0].ids]] for each, place in zip(parts, places, strict=True)])


def _truth(part: RunLogits, classes: Sequence[str]) -> tuple[int, ...]:
    return tuple(classes.index(label) for label in part.labels)


def _rows(logits: Float64[np.ndarray, "utterances classes"]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in logits.tolist())


def _listed(parts: Sequence[Part]) -> str:
    return ", ".join(part.name for part in parts)


def _digests(part: Part, rule: str) -> dict[str, str]:
    """What a combination is made of: the numbers of a part, wherever it lies."""
    used = (LOGITS, VALIDATION) if rule == "validation" else (LOGITS,)
    return {name: sha256_of(part.directory / name) for name in used}


@dataclass(frozen=True, kw_only=True)
class _Tested:
    """The utterances of a combination, as far as its parts' files know them."""

    ids: tuple[str, ...]
    styles: tuple[str, ...]
    left_out: dict[str, int]


def _document(
    parts: Sequence[Part],
    asked: Asked,
    name: str,
    classes: tuple[str, ...],
    finished: Sequence[FinishedRun],
    styles: Mapping[str, str],
) -> dict[str, Any]:
    """What the result holds, less the parts; settings that all parts have in common are the combination's, too."""
    configs = [part.result["config"] for part in parts]
    common = {key: value for key, value in configs[0].items() if all(key in c and c[key] == value for c in configs)}
    ids = tuple(dict.fromkeys(each for run in finished for each in run.ids))
    failed = {(each["fold"], each["seed"]): each for part in parts for each in part.result["failed_runs"]}
    values = result_values(
        corpus=parts[0].result["corpus"],
        synthetic=any(part.result["synthetic"] for part in parts),
        config={**common, "fusion": COMBINATION, "weights": asked.weights},
        branches=list(dict.fromkeys(branch for part in parts for branch in part.result["branches"])),
        selection=_Tested(ids=ids, styles=tuple(styles.get(each, "") for each in ids), left_out={}),
        classes=ClassMap(name=str(common.get("classes", "")), classes=classes, mapping={}),
        finished=finished,
        failed=list(failed.values()),
        device="",
    )
    notes = list(dict.fromkeys(note for part in parts for note in part.result.get("notes", ())))
    return values | {"name": name, "utterances": parts[0].result["utterances"], "notes": notes}


def _no_epoch(**values: Any) -> Any:
    raise ResultError(f"a combination has no epochs, got {values}")
