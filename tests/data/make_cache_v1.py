"""Made `cache-v1/`, the archived cache of format version 1, and says what it must read as for ever.

Run once, from the repository root, when version 1 was fixed: `python tests/data/make_cache_v1.py`
(h5py 3.16, HDF5 2.0.0, numpy 2.4). Never run it again for version 1: the point of the archive is that later
code reads bytes that earlier code wrote.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from mer.cache import CacheFolder, FailedUtterance, Units, UtteranceRecord, build_shard
from mer.tests.cache.whole_plan import plan_shards

HERE = Path(__file__).parent / "cache-v1"

SPEC: dict[str, Any] = {
    "format_version": 1,
    "corpus": {"name": "archive", "kind": "manifest", "synthetic": True},
    "granularities": ["F", "P", "S", "W", "T"],
    "layers": {"speech": [1, 2], "text": [1, 2, 12]},
    "dim": {"speech": 4, "text": 3},
    "storage": {"dtype": "float16"},
    "speech": {"model": "invented-speech", "revision": "0" * 40},
    "text": {"model": "invented-text", "revision": "1" * 40},
}

UNITS = {
    ("1", "Ses01F_impro01_F000"): {"F": 5, "P": 3, "S": 2, "W": 1, "T": 4},
    ("1", "é/ "): {"F": 1, "P": 1, "S": 1, "W": 1, "T": 2},
    ("2", "Ses02M_script01_1_M001"): {"F": 7, "P": 6, "S": 3, "W": 2, "T": 5},
}
"""Units of each utterance by session and id."""

FAILED = FailedUtterance(id="Ses02M_script01_1_M002", reason="the wav is empty", fingerprint="f" * 64)


def value(unit: int, layer: int, dim: int, row: int) -> float:
    """The activation at a place: exact in float16, different at every place."""
    return row * 16 + unit + layer / 4 + dim / 32


def data(row: int, granularity: str, units: int) -> np.ndarray:
    """All activations of an utterance."""
    layers, dim = (3, 3) if granularity == "T" else (2, 4)
    found = [[[value(unit, layer, d, row) for d in range(dim)] for layer in range(layers)] for unit in range(units)]
    return np.array(found, dtype=np.float16)


def span(units: int) -> np.ndarray:
    """A quarter of a second for each unit."""
    return np.array([[unit / 4, (unit + 1) / 4] for unit in range(units)])


def record(session: str, utterance_id: str, row: int) -> UtteranceRecord:
    """What is known about an utterance."""
    return UtteranceRecord(
        id=utterance_id,
        label=["ang", "neu", "exc"][row],
        speaker=f"{session}{'FM'[row % 2]}",
        session=session,
        dialogue=utterance_id.rpartition("_")[0],
        style=["improvised", "", "scripted"][row],
        text=["We wait.", "Ça va?", "Nobody came at all."][row],
        seconds=[1.25, 0.5, 2.0][row],
        alignment=["corpus", "none", "textgrid"][row],
        fingerprint=str(row) * 64,
    )


def main() -> None:
    """Write the archive."""
    if HERE.exists():
        sys.exit(f"{HERE} exists; an archive is never rewritten")
    folder = CacheFolder.create(HERE, SPEC)
    wanted = [(utterance_id, session, 100) for session, utterance_id in UNITS]
    plan = plan_shards(folder, [*wanted, (FAILED.id, "2", 100)])
    rows = {utterance_id: row for row, (_, utterance_id) in enumerate(UNITS)}
    for name, ids in plan.items():
        utterances = []
        for (session, utterance_id), counts in UNITS.items():
            if utterance_id in ids:
                row = rows[utterance_id]
                units = {
                    g: Units(
                        data=data(row, g, count),
                        span=span(count) if g in "PSW" else None,
                        labels=tuple(f"{g}{n}" for n in range(count)) if g in "PSW" else None,
                    )
                    for g, count in counts.items()
                }
                utterances.append((record(session, utterance_id, row), units))
        failed = [FAILED] if FAILED.id in ids else []
        folder.commit(name, build_shard(folder.spec, utterances, failed), {"made_by": "make_cache_v1.py"})
    (folder.path / "tmp").rmdir()


if __name__ == "__main__":
    main()
