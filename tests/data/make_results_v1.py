"""Made `results-v1/`, results of every kind as they were before weights were hashed, and what must be read from them for ever.

Run once, from the repository root: `python tests/data/make_results_v1.py` (torch 2.13, transformers 5.23, numpy 2.4,
safetensors 0.8). Never run it again for version 1: the point of the archive is that later code reads, reports and predicts with
what earlier code wrote.

corpus          nine recordings of integer noise; `write_corpus` makes them again, bit for bit
features/       their cache
exported/       the late head with its encoders: other results are predicted with `exported/speech` and `exported/text`
runs/           a late F+S+T head, a coattention head, their multi-level fusion, fine-tuned models, a grid of two rows
unfinished/     a late head, interrupted after its first run
expected.json   key of the cache, summaries, and what `mer predict` said about two recordings
"""

import dataclasses
import json
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from textgrid import IntervalTier, TextGrid
from transformers import BertConfig, BertModel, BertTokenizer, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

HERE = Path(__file__).parent / "results-v1"
TEXTS = ("i am so happy that you came", "leave me alone", "we lost it all")
LABELS = ("hap", "ang", "sad")
ASKED = ("u1", "u5")
"""Recordings that are predicted."""
HEAD: dict[str, Any] = {
    "hidden": 4,
    "max_epochs": 2,
    "learning_rate": 0.01,
    "batch": 4,
    "classes": "as-is",
    "device": "cpu",
    "folds": ("1", "2"),
}


def noise(row: int, samples: int) -> np.ndarray:
    """Samples of 16 bits from a linear congruential generator: integers, the same everywhere."""
    found, state = [], 12_345 + row
    for _ in range(samples):
        state = (1_103_515_245 * state + 12_345) % 2**31
        found.append((state >> 16) % 8_192 - 4_096)
    return np.array(found, dtype=np.int16)


def write_corpus(folder: Path) -> Path:
    """Nine recordings of a quarter of a second, three a session, with a TextGrid each; the manifest."""
    folder.mkdir(parents=True)
    lines = []
    for row in range(9):
        samples = 4_000 + 400 * (row % 4)
        soundfile.write(folder / f"u{row}.wav", noise(row, samples), 16_000, subtype="PCM_16")
        grid, seconds = TextGrid(minTime=0.0, maxTime=samples / 16_000), samples / 16_000
        for name, marks in (("words", ("one", "two")), ("phones", ("W", "AH", "N", "T", "UW"))):
            tier = IntervalTier(name, 0.0, seconds)
            for number, mark in enumerate(marks):
                tier.add(round(number * seconds / len(marks), 3), round((number + 1) * seconds / len(marks), 3), mark)
            grid.append(tier)
        grid.write(str(folder / f"u{row}.TextGrid"))
        written = {"id": f"u{row}", "wav": f"u{row}.wav", "text": TEXTS[row % 3], "label": LABELS[row % 3]}
        written |= {"speaker": f"s{row // 3}-{row % 2}", "session": str(row // 3 + 1), "textgrid": f"u{row}.TextGrid"}
        lines.append(json.dumps(written))
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "corpus.jsonl"


def write_encoders(folder: Path) -> dict[str, str]:
    """A wav2vec 2.0 and a BERT of two layers of 8 values."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    Wav2Vec2Model(
        Wav2Vec2Config(**shape, conv_dim=(8,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4)
    ).save_pretrained(folder / "tiny-wav2vec2")
    Wav2Vec2FeatureExtractor(
        feature_size=1, sampling_rate=16_000, padding_value=0.0, do_normalize=True, return_attention_mask=False
    ).save_pretrained(folder / "tiny-wav2vec2")
    words = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *" ".join(TEXTS).split()])
    vocabulary = {word: number for number, word in enumerate(words)}
    BertModel(BertConfig(**shape, vocab_size=len(words), max_position_embeddings=32)).save_pretrained(folder / "tiny-bert")
    BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=32).save_pretrained(folder / "tiny-bert")
    return {"speech_model": str(folder / "tiny-wav2vec2"), "text_model": str(folder / "tiny-bert")}


GRID = """
[grid]
title = "Two rows"
[defaults]
hidden = 4
max_epochs = 2
learning_rate = 0.01
batch = 4
[[rows]]
name = "late"
granularity = "F+S"
fusion = "late"
[[rows]]
name = "text"
modality = "text"
fusion = "linear"
published_ua = 65.0
"""


def main() -> None:
    """Write the archive."""
    if HERE.exists():
        sys.exit(f"{HERE} exists; an archive is never rewritten")
    # The provenance of shards names the machine; a neutral one instead.
    made: Any = platform
    made.node, made.platform = (lambda: "host"), (lambda: "Linux")
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        expected = make(work, HERE)
        clean(HERE, work)
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def make(work: Path, place: Path) -> dict[str, Any]:
    """Every result, and what is expected of it."""
    from typer.testing import CliRunner

    from mer.cache import open_cache
    from mer.cli import app
    from mer.corpus import open_corpus
    from mer.extract import ExtractConfig, Resources, extract
    from mer.finetune.config import FinetuneConfig
    from mer.finetune.run import Storage, finetune
    from mer.heads import HeadConfig, train_head, train_multi_level
    from mer.predict import export_run
    from mer.results import RunDone

    encoders: dict[str, Any] = write_encoders(work)
    manifest = write_corpus(work / "corpus")
    corpus = open_corpus(manifest)
    made = extract(corpus, ExtractConfig(**encoders), place / "features", resources=Resources(device="cpu", workers=1))
    cache = open_cache(made.folder)
    late = HeadConfig(granularities=("F", "S"), fusion="late", seeds=(0, 1), **HEAD)
    early = HeadConfig(granularities=("F",), fusion="coattention", attention_layers=1, feed_forward_ratio=1, seeds=(0, 1), **HEAD)
    command = "mer train-head"
    results = {
        "late": train_head(cache, late, place / "runs", command=command),
        "coattention": train_head(cache, early, place / "runs", command=command),
        "multi-level": train_multi_level(cache, early, late, place / "runs", command=command),
    }
    tuning = FinetuneConfig(
        **encoders, classes="as-is", epochs=1, batch=4, batch_seconds=2.0, seeds=(0,), folds=("1",), device="cpu", workers=0
    )
    results["finetuned"] = finetune(corpus, tuning, Storage(runs=place / "runs"), command="mer finetune")
    (work / "two-rows.toml").write_text(GRID)
    arguments = ["grid", str(work / "two-rows.toml"), "--cache", str(place / "features"), "--runs", str(place / "grid")]
    told = CliRunner().invoke(app, [*arguments, "--folds", "1-2", "--seeds", "1", "--classes", "as-is", "--device", "cpu"])
    assert told.exit_code == 0, told.output

    def interrupt(event: object) -> None:
        if isinstance(event, RunDone):
            raise KeyboardInterrupt

    try:
        train_head(cache, dataclasses.replace(late, stack=1, seeds=(0,)), place / "unfinished", progress=interrupt)
    except KeyboardInterrupt:
        pass
    export_run(results["late"].directory, place / "exported", **encoders)
    answers = {name: ask(result.directory, corpus, encoders) for name, result in results.items()}
    return {
        "cache_key": cache.key,
        "directories": {name: result.directory.name for name, result in results.items()},
        "summaries": {name: result.values["summary"] for name, result in results.items()},
        "answers": answers | {"exported": ask(place / "exported", corpus, {})},
    }


def ask(folder: Path, corpus: Any, encoders: Mapping[str, Any]) -> dict[str, Any]:
    """What a result says about the recordings that are asked for: the logits of each run."""
    from mer.predict import load

    encoders = {} if "finetune" in folder.name else encoders
    found: Any = load(folder, device="cpu", **encoders).predict_many([each for each in corpus if each.id in ASKED])
    return {each.id: {"label": each.label, "logits": each.logits} for each in found}


def clean(place: Path, work: Path) -> None:
    """Nothing of the machine stays: locks, temporary folders, paths."""
    for name in (".lock", "verified.json"):
        for found in place.rglob(name):
            found.unlink()
    for found in sorted(place.rglob("tmp")):
        shutil.rmtree(found)
    for file in place.rglob("*.json"):
        text = file.read_text()
        # Where it was made, and by which command, is nothing that a reader may depend on. Sidecars of shards, which hold a hash
        # of themselves, have no path in them.
        for private in (str(work), str(place)):
            text = text.replace(private, ".")
        text = re.sub(r'("command": )"[^"]*make_results[^"]*"', r'\1"mer grid"', text)
        if text != file.read_text():
            file.write_text(text)


if __name__ == "__main__":
    main()
