"""Answers of models that `mer finetune` trained."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from mer.backends.device import resolve_device
from mer.corpus import Utterance
from mer.extract.batching import batches_by_budget
from mer.finetune.collate import BatchReader
from mer.finetune.errors import FinetuneError
from mer.finetune.model_folder import SavedModel, load_model
from mer.predict.answer import Answer
from mer.results.errors import ResultError


class FinetunedEngine:
    """One or more models of a result; the one in use is in memory."""

    def __init__(self, models: Sequence[Path], device: str) -> None:
        """Load the first model.

        Args:
            models: folders of `mer.finetune.model_folder`, one per run.
            device: where to run.

        Raises:
            ResultError: a folder that holds no model, or a damaged one.
        """
        self._models = tuple(models)
        self._device = resolve_device(device)
        self._loaded: tuple[Path, SavedModel] | None = None
        config = self._load(self._models[0]).model.config
        self.hears = "speech" in config.modalities
        """Whether audio is used."""
        self.reads = "text" in config.modalities
        """Whether the transcript is used."""
        self.aligns = False
        """Whether the times of phones, syllables or words are used."""
        self.aligned_by = "corpus"
        """No use is made of it here: no times are."""
        self.by_speaker = False
        """Whether all recordings of a call have to be heard before one is answered for."""

    def hear(self, chunks: Sequence[Sequence[Utterance]]) -> None:
        """Nothing to do here: a recording is answered for by itself."""

    def answer(self, utterances: Sequence[Utterance]) -> dict[str, Answer | str]:
        """An answer for each recording by its id, or the reason why there is none; see `HeadEngine.answer`."""
        first = self._load(self._models[0])
        failed: dict[str, Answer | str] = {}
        good = []
        for utterance in utterances:
            try:
                _reader([utterance], first).read([0])
                good.append(utterance)
            except FinetuneError as problem:
                failed[utterance.id] = str(problem)
        if not good:
            return failed
        logits = np.stack([self._logits(good, self._load(path)) for path in self._models])
        reader = _reader(good, first)
        limit = first.model.config.max_seconds
        return failed | {
            utterance.id: Answer(
                logits=logits[:, row],
                seconds=reader.seconds[row] if self.hears else 0.0,
                notes=(f"cut at {limit:g} s, as in training",) if row in reader.cut else (),
            )
            for row, utterance in enumerate(good)
        }

    def _logits(self, utterances: Sequence[Utterance], saved: SavedModel) -> Float64[np.ndarray, "recordings classes"]:
        reader = _reader(utterances, saved)
        rows = range(len(utterances))
        found = np.zeros((len(rows), len(saved.classes)))
        with torch.inference_mode():
            for batch in batches_by_budget([reader.seconds[row] for row in rows], saved.model.config.pass_seconds):
                logits = saved.model(reader.read(batch).to(self._device)).logits
                found[batch] = logits.cpu().double().numpy()
        return found

    def _load(self, folder: Path) -> SavedModel:
        if self._loaded is None or self._loaded[0] != folder:
            self._loaded = None  # two models of base size need 1.6 GB
            try:
                saved = load_model(folder)
            except FinetuneError as problem:
                raise ResultError(str(problem)) from problem
            saved.model.to(self._device)
            self._loaded = (folder, saved)
        return self._loaded[1]


def _reader(utterances: Sequence[Utterance], saved: SavedModel) -> BatchReader:
    targets = np.zeros(len(utterances), dtype=np.int64)
    return BatchReader(utterances, targets, range(len(utterances)), saved.encoders, saved.model.config)
