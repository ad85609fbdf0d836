"""A damaged or half-downloaded encoder is one clear error wherever it is opened, and `mer doctor` finds it."""

import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mer.extract import EncoderError, SpeechEncoder, TextEncoder
from mer.status.doctor import encoder_check

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 380\n"
Damage = Callable[[Path], object]
SPEECH, TEXT = "--speech-model", "--text-model"


def put(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def cut(name: str, size: int) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def value(name: str, key: str, wrong: object) -> Damage:
    def change(folder: Path) -> None:
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | {key: wrong}))

    return change


def instead(name: str, content: object) -> Damage:
    """Weights of another format in place of the safetensors."""

    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            torch.save(content, folder / name)

    return change


def nan(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights[min(weights)].view(-1)[0] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def without(*names: str) -> Damage:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)

    return remove


def spm(folder: Path) -> None:
    without("tokenizer.json", "vocab.txt")(folder)
    put("spm.model", b"\n\x0e\n\x05<unk>")(folder)


INDEX = json.dumps({"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}).encode()
DAMAGES: dict[str, tuple[str, Damage, str]] = {
    "pointer for weights": (SPEECH, put("model.safetensors", POINTER), r"safetensors is a pointer of Git LFS.*git lfs pull"),
    "pointer for a tokenizer": (TEXT, put("tokenizer.json", POINTER), r"tokenizer\.json is a pointer of Git LFS"),
    "pointer for a config": (SPEECH, put("config.json", POINTER), r"config\.json is a pointer of Git LFS"),
    "cut weights": (SPEECH, cut("model.safetensors", 50_000), r"has 50,000 bytes and its header promises"),
    "cut in the header": (TEXT, cut("model.safetensors", 100), r"does not begin as a safetensors file"),
    "empty weights": (TEXT, put("model.safetensors", b""), r"model\.safetensors is empty: copy it again"),
    "a page of HTML": (SPEECH, put("model.safetensors", b"<!DOCTYPE html><html>"), r"does not begin as a safetensors file"),
    "cut config": (TEXT, cut("config.json", 90), r"config\.json is no whole JSON"),
    "config that is a list": (TEXT, put("config.json", b"[]"), r"holds no loadable encoder"),
    "empty preprocessor": (SPEECH, put("preprocessor_config.json", b""), r"preprocessor_config\.json is empty"),
    "rate that is none": (SPEECH, value("preprocessor_config.json", "sampling_rate", "16k"), r"sampling_rate = '16k'"),
    "width of a wrong type": (SPEECH, value("config.json", "hidden_size", "wide"), r"hidden_size"),
    "depth 0": (TEXT, value("config.json", "num_hidden_layers", 0), r"num_hidden_layers = 0, and a whole number above 0"),
    "a million layers": (
        TEXT,
        value("config.json", "num_hidden_layers", 10**6),
        r"1,000,000, and 1,000 is the most",
    ),
    "strides that are none": (
        SPEECH,
        value("config.json", "conv_stride", None),
        r"conv_stride|configuration is damaged|no loadable encoder",
    ),
    "wordpieces of a wrong type": (TEXT, value("config.json", "vocab_size", [3]), r"vocab_size"),
    "a shard that is missing": (
        SPEECH,
        instead("model.safetensors.index.json", INDEX),
        r"00001-of-00002\.safetensors is not there",
    ),
    "an index that is a pointer": (SPEECH, instead("model.safetensors.index.json", POINTER), r"is a pointer of Git LFS"),
    "cut pickle": (
        TEXT,
        instead("pytorch_model.bin", pickle.dumps({"a": 1}, 2)[:-3]),
        r"pytorch_model\.bin|no weights that PyTorch",
    ),
    "cut zip": (SPEECH, instead("pytorch_model.bin", b"PK\x03\x04" + bytes(400)), r"pytorch_model\.bin|no weights that PyTorch"),
    "pickle of a program": (TEXT, instead("pytorch_model.bin", {"a": Path("x")}), r"holds more than weights.*save_pretrained"),
    "no weights": (TEXT, without("model.safetensors"), r"no weights in it|no file named model.safetensors"),
    "no tokenizer": (TEXT, without("tokenizer.json", "vocab.txt", "tokenizer_config.json"), r"no readable tokenizer"),
    "SentencePiece": (TEXT, spm, r"pip install sentencepiece"),
}
FOUND_WHEN_LOADED: dict[str, tuple[str, Damage, str]] = {"NaN": (SPEECH, nan, r"1 weights hold NaN or infinite numbers, first")}


@pytest.fixture
def copy_of(speech_encoder_folder: Callable[[str], Path], text_encoder_folder: Path, tmp_path: Path) -> Callable[[str], Path]:
    def copy(option: str) -> Path:
        source = speech_encoder_folder("wav2vec2") if option == SPEECH else text_encoder_folder
        return Path(shutil.copytree(source, tmp_path / "encoder", dirs_exist_ok=True))

    return copy


def opened(option: str, folder: Path) -> object:
    return SpeechEncoder(str(folder)) if option == SPEECH else TextEncoder(str(folder))


@pytest.mark.parametrize("name", [*DAMAGES, *FOUND_WHEN_LOADED])
def test_a_damaged_encoder_is_one_clear_error(name: str, copy_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    option, damage, message = (DAMAGES | FOUND_WHEN_LOADED)[name]
    folder = copy_of(option)
    damage(folder)
    with pytest.raises(EncoderError, match=message) as found:
        opened(option, folder)
    assert str(found.value).startswith(f"{option} {folder}: ")
    check = encoder_check(option, str(folder))
    assert check.status == ("ok" if name in FOUND_WHEN_LOADED else "problem"), check


@pytest.mark.parametrize("option", [SPEECH, TEXT])
def test_leftovers_of_other_formats_harm_nothing(option: str, copy_of: Callable[[str], Path]) -> None:
    folder = copy_of(option)
    for name in ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack"):
        put(name, POINTER)(folder)
    assert encoder_check(option, str(folder)).status == "ok"
    opened(option, folder)


@pytest.mark.parametrize("option", [SPEECH, TEXT])
def test_any_value_of_a_wrong_type_in_a_config_is_refused_or_harmless(option: str, copy_of: Callable[[str], Path]) -> None:
    folder = copy_of(option)
    config = json.loads((folder / "config.json").read_text())
    chosen = random.Random(3)
    refused = 0
    for key in chosen.sample(sorted(config), 12):
        wrong: object = chosen.choice([None, "x", -1, [], {}, 1.5, [None], "12"])
        (folder / "config.json").write_text(json.dumps(config | {key: wrong}))
        try:
            opened(option, folder)
        except EncoderError:
            refused += 1
    assert refused
