"""What people do with a cache in Python, and what `FeatureCache` and `CacheSet` have in common: utterances by their ids."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mer.cache.cache_error import UnknownUtteranceError
from mer.cache.cached_utterance import CachedUtterance
from mer.cache.packed_units import PackedUnits, Rows
from mer.cache.records import FailedUtterance
from mer.cache.reopened import Reopened
from mer.cache.utterance_table import UtteranceTable
from mer.files.data_frame import data_frame
from mer.files.notebook_table import notebook_table

if TYPE_CHECKING:
    from typing import Unpack

    import pandas
    import torch

    from mer.heads.dataset_of import SplitSettings
    from mer.heads.utterance_dataset import UtteranceDataset


class UtteranceMapping(Reopened):
    """Utterances by id: `cache["u1"]`, `"u1" in cache`, `len(cache)`, `for utterance_id in cache`."""

    utterances: UtteranceTable
    """All of them, as columns."""
    granularities: tuple[str, ...]
    """What is held of each."""
    spec: dict[str, Any]
    """What it was made of."""
    key: str
    """Hash of that."""
    failed: tuple[FailedUtterance, ...]
    """Utterances that could not be extracted."""

    @property
    def path(self) -> Path:
        """Its folder."""
        raise NotImplementedError

    @property
    def synthetic(self) -> bool:
        """True when the speech was made by `mer synth`; to be said beside every result."""
        raise NotImplementedError

    @property
    def encoder_folders(self) -> dict[str, Path]:
        """Where its encoders are, as far as they were folders and are still there."""
        raise NotImplementedError

    def holder(self, granularity: str) -> tuple[Any, str]:
        """The `FeatureCache` that holds a granularity, and how it is called there."""
        raise NotImplementedError

    def layers(self, granularity: str) -> list[int]:
        """Indices of the stored encoder layers."""
        raise NotImplementedError

    def dim(self, granularity: str) -> int:
        """Width of the encoder."""
        raise NotImplementedError

    def read(self, utterance_id: str, granularity: str) -> np.ndarray:
        """Activations (units, layers, dim) of one utterance."""
        raise NotImplementedError

    def spans(self, utterance_id: str, granularity: str) -> np.ndarray:
        """Start and end (units, 2) of each unit in seconds."""
        raise NotImplementedError

    def labels(self, utterance_id: str, granularity: str) -> tuple[str, ...]:
        """Name of each unit."""
        raise NotImplementedError

    def packed(self, granularity: str, indices: Rows | None = None) -> PackedUnits:
        """Many utterances at once."""
        raise NotImplementedError

    def __getitem__(self, utterance_id: str) -> CachedUtterance:
        """One utterance.

        Raises:
            UnknownUtteranceError: the cache does not hold it.
        """
        if not isinstance(utterance_id, str):
            first = self.utterances.ids[0] if len(self) else "u1"
            raise UnknownUtteranceError(
                f"{self.path}: an utterance is asked for by its id, such as {first!r}, got {utterance_id!r}; "
                "`cache.utterances.ids` has all of them by number"
            )
        row, table = self._index(utterance_id), self.utterances
        return CachedUtterance(
            id=table.ids[row],
            label=table.labels[row],
            speaker=table.speakers[row],
            session=table.sessions[row],
            dialogue=table.dialogues[row],
            style=table.styles[row],
            text=table.texts[row],
            seconds=float(table.seconds[row]),
            alignment=table.alignments[row],
            more=table.more[row],
            cache=self,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.utterances.ids)

    def __len__(self) -> int:
        return len(self.utterances)

    def __contains__(self, utterance_id: object) -> bool:
        return utterance_id in self.utterances

    def dataset(
        self,
        granularity: str | Sequence[str],
        *,
        layers: Sequence[int] | None = None,
        fold: str | int | None = None,
        split: str | None = None,
        seed: int = 0,
        dtype: "torch.dtype | None" = None,
        **protocol: "Unpack[SplitSettings]",
    ) -> "UtteranceDataset":
        """The utterances of one part of a fold with their class numbers, as a `torch.utils.data.Dataset`.

        `DataLoader(cache.dataset("S", fold=1, split="train"), batch_size=32, num_workers=2)` gives padded batches
        (`mer.heads.Batch`). Labels are merged to classes, and folds and their validation parts are drawn, as `mer train-head`
        does it. Arguments and errors as `mer.heads.dataset_of`.
        """
        from mer.heads.dataset_of import dataset_of

        itself: Any = self  # pyright knows this file by two names, and takes them for two classes
        return dataset_of(itself, granularity, layers=layers, fold=fold, split=split, seed=seed, dtype=dtype, **protocol)

    def folds(self, **protocol: "Unpack[SplitSettings]") -> tuple[str, ...]:
        """Names of the folds that `dataset` knows with the same settings; raises as `mer.heads.folds_of`."""
        from mer.heads.dataset_of import folds_of

        itself: Any = self
        return folds_of(itself, **protocol)

    def frame(self) -> "pandas.DataFrame":
        """The utterances as a pandas data frame, one row each, with the number of units of each granularity.

        Raises:
            MissingPandasError: the extra `pandas` is not installed.
        """
        table = self.utterances
        columns: dict[str, Sequence[Any]] = {
            "id": table.ids,
            "label": table.labels,
            "speaker": table.speakers,
            "session": table.sessions,
            "dialogue": table.dialogues,
            "style": table.styles,
            "split": [str(each.get("split", "")) for each in table.more],
            "seconds": table.seconds.tolist(),
            "alignment": table.alignments,
            "text": table.texts,
        }
        return data_frame(columns | {name: self.packed(name).lengths.tolist() for name in self.granularities})

    def __repr__(self) -> str:
        kind, corpus = type(self).__name__, self.spec["corpus"]["name"]
        return f"<{kind} of {corpus}: {len(self):,} utterances, {'+'.join(self.granularities)}, in {self.path}>"

    def _repr_html_(self) -> str:
        labels = ", ".join(f"{name or 'none'} {count:,}" for name, count in sorted(Counter(self.utterances.labels).items()))
        rows = [("labels", "", "", labels)]
        for name in self.granularities:
            units = int(self.packed(name).lengths.sum())
            rows.append((name, f"{units:,}", str(len(self.layers(name))), str(self.dim(name))))
        title = f"{self.spec['corpus']['name']}: {len(self):,} utterances, {self.path}"
        return notebook_table(title, [*rows[1:], rows[0]], heads=("granularity", "units", "layers", "dim"))

    def _index(self, utterance_id: str) -> int:
        """Row of an utterance; raises UnknownUtteranceError."""
        return self.utterances.index(utterance_id)
