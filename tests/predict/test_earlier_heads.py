"""Heads that learnt from features which this version makes otherwise."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mer.cache import open_cache
from mer.corpus import open_corpus
from mer.extract import ExtractConfig, Resources, extract
from mer.heads import HeadConfig, train_head
from mer.predict import PredictError, load
from mer.results.file_hashes import seal

TRAINING: dict[str, Any] = {"hidden": 8, "max_epochs": 1, "seeds": (0,), "folds": ("1",), "device": "cpu"}


def narrow(source: Path, folder: Path) -> Path:
    """The encoder with two layers."""
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text()) | {"num_hidden_layers": 2}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(("layers", "refused"), [((1, 2), True), ((1,), False)])
def test_a_head_of_an_earlier_version_is_refused_where_its_layers_are_others_now(
    layers: tuple[int, ...],
    refused: bool,
    trained: Any,
    tmp_path: Path,
    speech_encoder_folder: Callable[[str], Path],
) -> None:
    speech = narrow(speech_encoder_folder("wav2vec2-layer-norm"), tmp_path / "closed")
    encoders: dict[str, Any] = {"speech_model": str(speech), "text_model": str(trained.text)}
    corpus = open_corpus(trained.corpus)
    config = ExtractConfig(**encoders, granularities=("F", "T"))
    cache = open_cache(extract(corpus, config, tmp_path / "features", resources=Resources(device="cpu", workers=1)).folder)
    settings: dict[str, Any] = {**TRAINING, "granularities": ("F",), "fusion": "late", "layers": layers}
    run = train_head(cache, HeadConfig(classes="as-is", **settings), tmp_path / "runs").directory
    assert load(run, device="cpu", **encoders).runs
    values = json.loads((run / "result.json").read_text())
    del values["features"]["speech"]["last_layer"]
    (run / "result.json").write_text(json.dumps(seal(values)))
    if refused:
        with pytest.raises(
            PredictError, match=r"features of an earlier version of mer: .*its last layer is as transformers handed it"
        ):
            load(run, device="cpu", **encoders)
    else:
        assert load(run, device="cpu", **encoders).runs
