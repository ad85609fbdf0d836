"""A trained run on another corpus: its answers beside that corpus' labels, as a result of its own."""

import time
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.backends.agreement import versions
from mer.corpus import Corpus, Utterance
from mer.corpus.given_texts import GivenTexts
from mer.extract.inputs import fingerprint
from mer.files.regular_file import read_text_file
from mer.heads.training.trained_run import Epoch
from mer.predict.answer import Failure, Prediction
from mer.predict.errors import PredictError
from mer.predict.predictor import Predictor
from mer.predict.saved_run import read_saved
from mer.protocol import ClassMap, ProtocolError, class_map
from mer.protocol.dimensions import dimensions_of
from mer.protocol.part_names import part_names
from mer.results import Result
from mer.results.file_hashes import FILES
from mer.results.finished_run import FinishedRun
from mer.results.names import RESULT_FORMAT, WEIGHTS, run_folder
from mer.results.result_document import result_values, utterance_counts
from mer.results.row_names import NamedRow, head_name
from mer.results.run_directory import RunDirectory


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The utterances that are answered for."""

    corpus: str
    """Name of the corpus they are from."""
    synthetic: bool
    """Whether its speech is synthetic."""
    utterances: tuple[Utterance, ...]
    """Those whose label means a class of the run."""
    labels: Mapping[str, str]
    """Label of the corpus to class of the run."""
    left_out: dict[str, int]
    """Label to number of utterances, for labels that mean no class."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Id of each."""
        return tuple(each.id for each in self.utterances)

    @property
    def styles(self) -> tuple[str, ...]:
        """Style of each."""
        return tuple(each.style for each in self.utterances)


def read_map(path: Path) -> dict[str, str]:
    """Label of the other corpus to class of the run: `label = "class"` in a TOML file, at the top or under `[labels]`.

    Raises:
        PredictError: a file that cannot be read, or that says anything else.
    """
    try:
        values = tomllib.loads(read_text_file(path, "utf-8-sig"))
    except (OSError, ValueError, RecursionError) as problem:
        raise PredictError(f'{path}: not readable as TOML ({problem}); expected lines such as joy = "happy"') from None
    found = values.get("labels", values)
    if not isinstance(found, dict) or not found or not all(isinstance(each, str) for each in found.values()):
        raise PredictError(f'{path}: expected lines such as joy = "happy", at the top or under [labels]')
    return found


def ask(
    corpus: Corpus, run: Path, classes: Sequence[str], labels: Mapping[str, str] | None, parts: Sequence[str] | None = None
) -> Asked:
    """The utterances of a corpus that a run can be scored on.

    Args:
        corpus: where they come from.
        run: the run directory, or an export.
        classes: of the run.
        labels: of `read_map`; None takes the class map that the run was trained with.
        parts: of the corpus' own split, such as `test`; None takes all.

    Raises:
        PredictError: a run that was trained on ratings, no utterance is left, or a map to classes that the run does not have.
    """
    if rated := dimensions_of(read_saved(run)[1]["config"]):
        raise PredictError(
            f"{run} answers with {', '.join(rated)}, and only emotions are scored on another corpus: `mer predict {run} LIST "
            "--csv FILE` writes its ratings"
        )
    chosen = list(corpus)
    if parts is not None:
        names = part_names(each.split for each in chosen) or {}
        wanted = {part.casefold() for part in parts}
        chosen = [each for each in chosen if names.get(each.split, each.split.strip().casefold()) in wanted]
        if not chosen:
            there = ", ".join(sorted(set(names.values()))) or "none"
            raise PredictError(f"corpus {corpus.name!r} has no utterance of part {', '.join(parts)}; its parts are {there}")
    found = Counter(each.label for each in chosen)
    mapping = _own_map(run, classes, found) if labels is None else labels
    if unknown := sorted(set(mapping.values()) - set(classes)):
        raise PredictError(f"the map makes {', '.join(unknown)}, and the run has the classes {', '.join(classes)} only")
    kept = tuple(each for each in chosen if each.label in mapping)
    if not kept:
        raise PredictError(
            f"no utterance of corpus {corpus.name!r} has a label that means a class of the run: its labels are "
            f"{', '.join(sorted(found)) or 'none'}, the classes {', '.join(classes)}; say which is which with --map labels.toml "
            f'(lines such as {next(iter(sorted(found)), "joy")} = "{classes[0]}")'
        )
    left_out = {label: count for label, count in sorted(found.items()) if label not in mapping}
    return Asked(
        corpus=corpus.name,
        synthetic=corpus.synthetic,
        utterances=kept,
        labels={label: name for label, name in mapping.items() if label in found},
        left_out=left_out,
    )


def evaluate(
    run: Path,
    predictor: Predictor,
    asked: Asked,
    runs: Path,
    *,
    progress: Callable[[int, int], None],
    command: str | None = None,
    texts: GivenTexts | None = None,
) -> Result:
    """Score every trained run on the same utterances, and write `runs/<corpus>-evaluated-...`; one that is there is returned.

    The other corpus is one fold, and each trained run a seed of it: the spread over seeds is that over the trained runs.

    Args:
        run: the run directory, or an export.
        predictor: the same, loaded.
        asked: what is answered for.
        runs: folder of run directories.
        progress: called with utterances done and in all.
        command: the command line, for `provenance.json`.
        texts: the transcripts that the utterances have in place of the corpus' own, if any.

    Raises:
        PredictError: no utterance could be answered for.
    """
    _, trained = read_saved(run)
    identity = {
        "format": RESULT_FORMAT,
        "config": trained["config"],
        "evaluated": {
            "run": _run_name(run, predictor),
            "weights": dict(sorted(trained.get(FILES, {}).items())),
            "runs": list(predictor.runs),
            "labels": dict(sorted(asked.labels.items())),
        },
        "data": [[each.id, fingerprint(each)] for each in asked.utterances],
    }
    directory = RunDirectory(runs / run_folder(asked.corpus, ["evaluated", trained["corpus"]], identity), identity, epoch=Epoch)
    if (existing := directory.result()) is not None:
        return Result(directory=directory.path, values=existing, reused=True)
    directory.append_provenance({"versions": versions(), "command": command, "started": time.time()})
    begin = time.perf_counter()
    answers = predictor.predict_many(asked.utterances, progress=progress)
    failed = [each for each in answers if isinstance(each, Failure)]
    answered = [each for each in answers if isinstance(each, Prediction)]
    if not answered:
        raise PredictError(f"no utterance of corpus {asked.corpus!r} could be answered for; first: {failed[0].reason}")
    finished = _finished(predictor, asked, answered, time.perf_counter() - begin)
    document = _document(trained, run, predictor, asked, finished, failed)
    if texts is not None:
        document |= {
            "name": f"{document['name']}, texts of {texts.path.name}",
            "transcripts": texts.as_dict(),
        }
    values = directory.finish(finished, predictor.classes, document)
    (directory.path / WEIGHTS).rmdir()
    return Result(directory=directory.path, values=values, reused=False)


def _document(
    trained: Mapping[str, Any],
    run: Path,
    predictor: Predictor,
    asked: Asked,
    finished: Sequence[FinishedRun],
    failed: Sequence[Failure],
) -> dict[str, Any]:
    """What the result holds, less the predictions."""
    head = head_name(NamedRow(directory=run, result=trained))
    classes = ClassMap(name=str(trained["config"].get("classes", "")), classes=predictor.classes, mapping=asked.labels)
    document = result_values(
        corpus=asked.corpus,
        synthetic=asked.synthetic,
        config={**trained["config"], "seeds": [each.seed for each in finished], "folds": [asked.corpus]},
        branches=trained.get("branches") or (),
        selection=asked,
        classes=classes,
        finished=finished,
        failed=(),
        device="",
    )
    document |= {name: trained[name] for name in ("features", "encoders") if name in trained}
    document |= {
        "name": f"{head} trained on {trained['corpus']}",
        "trained_on": {"corpus": trained["corpus"], "run": _run_name(run, predictor), "runs": list(predictor.runs)},
        "labels": dict(asked.labels),
        "notes": _notes(trained, predictor, asked),
        "utterances": {
            **utterance_counts(asked),
            "used": len(finished[0].ids),
            "failed_extraction": 0,
            "left_out": [{"id": each.id, "reason": each.reason} for each in failed],
        },
    }
    return document


def _run_name(run: Path, predictor: Predictor) -> str:
    """What a run is called on every machine: its folder's own name, or `OWNER/NAME@COMMIT` of the hub."""
    return run.resolve().name if predictor.origin == str(run) else predictor.origin


def _own_map(run: Path, classes: Sequence[str], labels: Mapping[str, int]) -> dict[str, str]:
    """The class map that the run was trained with, as far as it says classes of the run."""
    name = str(read_saved(run)[1]["config"].get("classes", ""))
    try:
        mapping = class_map(name, list(labels)).mapping
    except ProtocolError:
        return {}
    return {label: each for label, each in mapping.items() if each in classes}


def _finished(predictor: Predictor, asked: Asked, answered: Sequence[Prediction], seconds: float) -> list[FinishedRun]:
    label = {each.id: each.label for each in asked.utterances}
    return [
        FinishedRun(
            fold=asked.corpus,
            seed=number,
            best_epoch=0,
            epochs=(),
            ids=tuple(each.id for each in answered),
            truth=tuple(predictor.classes.index(asked.labels[label[each.id]]) for each in answered),
            logits=tuple(each.logits[name] for each in answered),
            layer_shares={},
            seconds=seconds / len(predictor.runs),
        )
        for number, name in enumerate(predictor.runs)
    ]


def _notes(trained: Mapping[str, Any], predictor: Predictor, asked: Asked) -> list[str]:
    count = len(predictor.runs)
    heard = {asked.labels[each.label] for each in asked.utterances}
    absent = [name for name in predictor.classes if name not in heard]
    notes = [f"each of the {count} trained runs answered for the same utterances: the spread over seeds is that over these runs"]
    if absent:
        notes.append(f"corpus {asked.corpus!r} has no utterance of class {', '.join(absent)}: answers of it are always wrong")
    if trained["corpus"] == asked.corpus:
        notes.append("the run was trained on a corpus of the same name: what it was trained on is no test")
    return notes
