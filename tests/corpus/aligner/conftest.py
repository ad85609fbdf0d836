"""Synthetic speech with exact times, spoken once per test run."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from mer.corpus import Alignment, Corpus, Segment, Utterance, open_corpus
from mer.corpus.synthetic import write_synthetic_corpus


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A synthetic corpus and the synthesiser's own times."""

    corpus: Corpus
    exact: dict[str, Alignment]

    def wave(self, utterance: Utterance) -> NDArray[np.float32]:
        return np.asarray(soundfile.read(utterance.wav, dtype="float32")[0], dtype=np.float32)


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Spoken:
    root = tmp_path_factory.mktemp("spoken") / "synthetic"
    write_synthetic_corpus(root, utterances=100)
    exact = {}
    for line in (root / "exact_times.jsonl").read_text().splitlines():
        row = json.loads(line)
        tiers = {
            tier: tuple(Segment(label, round(start * 1000), round(end * 1000)) for label, start, end in row[tier])
            for tier in ("words", "phones")
        }
        exact[row["id"]] = Alignment(syllables=(), **tiers)
    return Spoken(corpus=open_corpus(root), exact=exact)


@pytest.fixture(scope="session")
def plain(spoken: Spoken) -> list[Utterance]:
    """Utterances of at least four words and no tags."""
    return [u for u in spoken.corpus if u.text and "[" not in u.text and len(u.text.split()) >= 4]


def manifest(root: Path, utterances: list[tuple[str, Path, str | None]]) -> Path:
    """A manifest of copies of recordings: id, wav and text."""
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, wav, text in utterances:
        (root / f"{name}.wav").write_bytes(wav.read_bytes())
        row = {"id": name, "wav": f"{name}.wav", "label": "joy", "speaker": "s", "session": "1"}
        rows.append(row | ({} if text is None else {"text": text}))
    path = root / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def make_manifest() -> object:
    return manifest
