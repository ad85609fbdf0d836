"""A run as a folder of its own: weights, config and model card, as the Hugging Face hub has them."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers.utils import logging

from mer.extract import EncoderError
from mer.extract.families.open_checkpoint import open_speech, open_text
from mer.extract.pretrained import weights_fingerprint
from mer.files import make_folder, whole_folder
from mer.files.shown_text import shown
from mer.files.tensors import save_tensors
from mer.finetune.errors import FinetuneError
from mer.finetune.model_folder import check_model
from mer.predict.card_metadata import UNKNOWN_LICENSE, check_license
from mer.predict.errors import PredictError
from mer.predict.hub_download import CARD, find_saved, told_of
from mer.predict.model_card import model_card
from mer.predict.saved_encoders import EncoderChoice, each_of, live_configs, refuse_a_folders_name
from mer.predict.saved_head import Run, SavedHead
from mer.predict.saved_run import SavedModels, check_saved, choose_runs, read_saved
from mer.results.errors import ResultError
from mer.results.file_hashes import FILES, hashes_below, seal
from mer.results.names import CONFIG, run_stem
from mer.results.run_files import EXPORT_FORMAT

MODEL_TYPE = "mer-export (load it with mer.predict: pip install mer-fusion)"
"""What `AutoConfig` of transformers says that it does not know: it repeats this value, and nothing else of a config."""
DESCRIBED = ("corpus", "synthetic", "config", "branches", "utterances", "summary", "runs", "device", "encoders", "name")
"""What an export keeps of `result.json`."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written."""

    folder: Path
    """Where."""
    runs: tuple[str, ...]
    """Runs in it, such as `fold1-seed0`."""
    encoders: bool
    """Whether the encoders are in it."""
    bytes: int
    """Bytes of all files."""
    remarks: tuple[str, ...] = ()
    """What could not be checked."""


def export_run(
    run: Path | str,
    folder: Path | str,
    *,
    revision: str | None = None,
    folds: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    license: str = UNKNOWN_LICENSE,
    with_encoders: bool | None = None,
    speech_model: str | Path | Sequence[str | Path] | None = None,
    text_model: str | Path | Sequence[str | Path] | None = None,
) -> Exported:
    """Write what `mer predict` needs of a run into a new folder, whole or not at all.

    Args:
        run: a run directory, an earlier export, or `OWNER/NAME` of one on the Hugging Face hub.
        folder: new or empty.
        revision: branch, tag or commit on the hub.
        folds: only the runs that left these sessions out; None takes all.
        seeds: likewise.
        license: identifier of the licence for the model card, as the hub has them, such as `cc-by-nc-4.0`.
        with_encoders: copy the frozen encoders; None does where they are not on the hub. Fine-tuned models always hold theirs.
        speech_model: the speech encoder's folder, where the hub does not have what the run names; of several each `NAME=DIR`.
        text_model: likewise.

    Raises:
        PredictError: a folder in use, a run without weights, what the hub does not give, encoders other than the run's, or
            what is no identifier of a licence.
        ResultError: a file of the run that is damaged, foreign or of another version.
        EncoderError: an encoder that is to be copied and is not to be had.
    """
    folder = Path(folder)
    check_license(license)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PredictError(f"{folder}: not an empty folder; give a new one for the export")
    source = find_saved(run, revision, folds=folds, seeds=seeds)
    with told_of(source):
        saved, result = read_saved(source.folder)
        runs = choose_runs(saved.runs, folds, seeds, saved.folder)
        remarks = check_saved(saved, runs)
    make_folder(folder.absolute().parent)
    with whole_folder(folder) as scratch:
        described = _described(result)
        if isinstance(saved, SavedModels):
            copied, document, encoders = True, _write_models(saved, runs, scratch), result.get("encoders", {})
        else:
            choice = EncoderChoice(speech_model=each_of(speech_model), text_model=each_of(text_model))
            copied, encoders = _write_encoders(saved, choice, with_encoders, scratch), saved.features
            document = _write_heads(saved, runs, scratch)
        document |= {"format": EXPORT_FORMAT, "model_type": MODEL_TYPE}
        document |= {"classes": list(saved.classes), "runs": [list(each) for each in runs]}
        document |= {"id2label": dict(enumerate(saved.classes)), "result": described}
        card = model_card(described, encoders, runs, copied=copied, kind=document["kind"], license=license)
        (scratch / CARD).write_text(shown(card), encoding="utf-8")
        _write_config(document, scratch)
        size = _let_read(scratch)
    return Exported(folder=folder, runs=tuple(run_stem(*each) for each in runs), encoders=copied, bytes=size, remarks=remarks)


def _write_config(document: Mapping[str, Any], folder: Path) -> None:
    """The config, last: it has the hashes of all files beside it but of the card, which may be edited."""
    hashes = {name: digest for name, digest in hashes_below(folder, folder).items() if name != CARD}
    sealed = seal(json.loads(json.dumps({**document, FILES: hashes}, allow_nan=False)))
    (folder / CONFIG).write_text(json.dumps(sealed, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _let_read(folder: Path) -> int:
    """Give all files the rights of the card, since weights come for their owner's eyes only; the bytes of all."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        path.chmod((folder / CARD).stat().st_mode)
    return sum(path.stat().st_size for path in files)


def _described(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result without what only its run directory means, and without paths of this machine."""
    found = {name: result[name] for name in DESCRIBED if name in result}
    config = dict(found["config"])
    for name, encoder in found.get("encoders", {}).items():
        config[f"{name}_model"] = encoder["model"]
    return found | {"config": {name: value for name, value in config.items() if name not in ("ram_gib", "device_memory_gib")}}


def _write_models(saved: SavedModels, runs: Sequence[Run], folder: Path) -> dict[str, Any]:
    for run, path in saved.models:
        if run in runs:
            try:
                check_model(path)
            except FinetuneError as problem:
                raise ResultError(str(problem)) from problem
            shutil.copytree(path, folder / run_stem(*run))
    return {"kind": "finetuned"}


def _write_heads(saved: SavedHead, runs: Sequence[Run], folder: Path) -> dict[str, Any]:
    tensors: dict[str, Tensor] = {}
    for number, part in enumerate(saved.parts):
        for run in runs:
            read = part.weights[run].read()
            tensors |= {f"{number}.{run_stem(*run)}.{name}": value.contiguous() for name, value in read.items()}
    save_tensors(tensors, folder / "model.safetensors", {"format": "pt"})
    parts = [
        {"config": part.config.as_dict(), "layers": {name: list(each) for name, each in part.layers.items()}}
        for part in saved.parts
    ]
    return {"kind": "head", "features": dict(saved.features), "parts": parts}


def _write_encoders(saved: SavedHead, choice: EncoderChoice, wanted: bool | None, folder: Path) -> bool:
    """Whether the encoders that the head uses were copied."""
    lives = live_configs(saved, choice)
    names = [name for live in lives for name in live.streams.values()]
    if wanted is False or (wanted is None and all(saved.features[name].get("revision") for name in names)):
        return False
    for live in lives:
        refuse_a_folders_name(saved, live)
        for kind, name in live.streams.items():
            model, revision = getattr(live.config, f"{kind}_model"), getattr(live.config, f"{kind}_revision")
            try:
                _write_encoder(kind, model, revision, saved.features[name], folder / name)
            except EncoderError as problem:
                raise PredictError(f"{saved.folder}: its encoders are to be copied. {problem}") from problem
    return True


def _write_encoder(kind: str, model: str, revision: str | None, identity: Mapping[str, Any], folder: Path) -> None:
    checkpoint = open_speech(model, revision) if kind == "speech" else open_text(model, revision)
    encoder = checkpoint.load()
    if weights_fingerprint(encoder) != identity["weights_sha256"]:
        raise PredictError(
            f"{checkpoint.title}: not the encoder that the run was trained behind, {identity['model']}; give that one"
        )
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        checkpoint.save(folder, encoder, weights=True)
    finally:
        if shown:
            logging.enable_progress_bar()
