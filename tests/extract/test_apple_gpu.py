"""`--device mps`: features are made there, with the numbers of a CPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mer.backends.device import DeviceError, resolve_device, training_device
from mer.corpus import open_corpus
from mer.extract import SPEECH_FAMILIES, ExtractConfig, ExtractError, Resources, SpeechEncoder, extract
from mer.tests.extract.small_families import SPEECH
from mer.tests.fake_apple import fake_apple

KINDS = {family: kind for kind, (family, _) in reversed(SPEECH.items())}


def test_an_apple_gpu_has_to_be_there() -> None:
    with pytest.raises(DeviceError, match="device 'mps': PyTorch finds no such Apple GPU on this machine; use auto or cpu"):
        resolve_device("mps")
    with fake_apple():
        assert resolve_device("mps").type == "mps"
        assert resolve_device("auto").type == "cpu"
        with pytest.raises(DeviceError, match="device 'mps:1'"):
            resolve_device("mps:1")
        with pytest.raises(DeviceError, match="for mer extract and mer predict only; what is trained needs auto, cpu or cuda"):
            training_device("mps")


def test_features_are_those_of_a_cpu(make_manifest: Any, config: ExtractConfig, tmp_path: Path) -> None:
    corpus = open_corpus(make_manifest(4))
    there = extract(corpus, config, tmp_path / "cpu", resources=Resources(device="cpu", workers=1))
    with fake_apple():
        here = extract(corpus, config, tmp_path / "mps", resources=Resources(device="mps"))
    assert (here.utterances, here.failed) == (4, ())
    shards = [sorted((each.folder / "shards").glob("*.h5")) for each in (here, there)]
    assert [path.read_bytes() for path in shards[0]] == [path.read_bytes() for path in shards[1]]


@pytest.mark.parametrize("family", SPEECH_FAMILIES)
def test_every_family_encodes_there(family: str, family_folder: Callable[[str], Path]) -> None:
    folder = str(family_folder(KINDS[family]))
    wave = np.random.default_rng(0).normal(size=9_700).astype(np.float32) * 0.1
    encoder = SpeechEncoder(folder)
    expected = encoder([encoder.prepare(wave)])[0]
    with fake_apple():
        encoder = SpeechEncoder(folder, device="mps")
        found = encoder([encoder.prepare(wave)])[0]
        assert found.device.type == "mps"
        found = found.cpu()
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_other_precisions_are_refused(make_manifest: Any, config: ExtractConfig, tmp_path: Path) -> None:
    exact = ExtractConfig(speech_model=config.speech_model, text_model=config.text_model, dtype="float64")
    with fake_apple(), pytest.raises(ExtractError, match="--dtype float64: on mps encoders run in float32"):
        extract(open_corpus(make_manifest(4)), exact, tmp_path, resources=Resources(device="mps"))
