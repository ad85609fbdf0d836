"""Files that a later number depends on, damaged on disk: refused, never another answer."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import open_corpus
from mer.predict import Prediction, export_run, load
from mer.predict.errors import PredictError
from mer.predict.saved_run import check_saved, read_saved
from mer.results.errors import ResultError
from mer.results.file_hashes import SEAL

FLIPS = 40
CAUSE = re.compile("damaged or not its own|not the file that config.json names")
CURE = r"copy the folder again, or (move it away and )?train again"


def flip(file: Path, image: bytes, bit: int) -> None:
    damaged = bytearray(image)
    damaged[bit // 8] ^= 1 << bit % 8
    file.write_bytes(bytes(damaged))


@pytest.fixture(scope="module")
def results(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copies of runs and exports that may be damaged."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(trained.runs["late"].parent, folder / "runs")
    found = {name: folder / "runs" / path.name for name, path in trained.runs.items()}
    encoders: dict[str, Any] = {"speech_model": str(trained.speech), "text_model": str(trained.text)}
    found["exported"] = export_run(found["late"], folder / "exported", with_encoders=True, **encoders).folder
    found["exported-finetuned"] = export_run(found["finetuned"], folder / "exported-finetuned").folder
    return found


def logits_of(results: dict[str, Path], name: str, trained: Any) -> dict[str, Any]:
    encoders: dict[str, Any] = {"speech_model": str(trained.speech), "text_model": str(trained.text)}
    given: dict[str, Any] = {} if "finetuned" in name or name == "exported" else encoders
    (found,) = load(results[name], device="cpu", **given).predict_many(list(open_corpus(trained.corpus))[3:4])
    assert isinstance(found, Prediction)
    return found.logits


DAMAGED = [
    ("late", "weights/fold1-seed0.safetensors"),
    ("late", "result.json"),
    ("exported", "model.safetensors"),
    ("exported", "config.json"),
    ("exported", "text/tokenizer.json"),
    ("exported", "text/tokenizer_config.json"),
    ("exported", "speech/preprocessor_config.json"),
    ("exported", "speech/config.json"),
    ("exported", "speech/model.safetensors"),
    ("finetuned", "weights/fold1-seed0/model.safetensors"),
    ("finetuned", "weights/fold1-seed0/config.json"),
    ("finetuned", "weights/fold3-seed0/text/tokenizer.json"),
    ("exported-finetuned", "fold1-seed0/model.safetensors"),
    ("exported-finetuned", "fold1-seed0/config.json"),
    ("exported-finetuned", "fold3-seed0/speech/preprocessor_config.json"),
]


@pytest.mark.parametrize(("name", "file"), DAMAGED)
def test_a_flipped_bit_is_refused_and_never_gives_another_answer(
    name: str, file: str, results: dict[str, Path], trained: Any
) -> None:
    path = results[name] / file
    image, expected = path.read_bytes(), logits_of(results, name, trained)
    random, same, told = np.random.default_rng(len(file)), 0, list[str]()
    try:
        # The encoders are loaded to compare theirs: a few are enough there.
        flips = 3 if file == "speech/model.safetensors" else FLIPS
        for bit in random.choice(8 * len(image), min(flips, 8 * len(image)), replace=False):
            flip(path, image, int(bit))
            try:
                saved, _ = read_saved(results[name])
                check_saved(saved, saved.runs)  # what `load` begins with, less the encoders: a flip costs milliseconds
                found = logits_of(results, name, trained)
            except (PredictError, ResultError) as problem:  # an encoder is compared by its own hash
                told.append(str(problem))
            else:
                same += 1
                # Only white space, or the name of the hash itself, may differ.
                before, after = json.loads(image), json.loads(path.read_text())
                assert all(after[name] == value for name, value in before.items() if name != SEAL)
                assert found.keys() == expected.keys()
                for run, logits in expected.items():
                    np.testing.assert_allclose(found[run], logits, rtol=1e-5, atol=1e-6)
    finally:
        path.write_bytes(image)
    assert all(str(results[name]) in each for each in told)
    if path != results[name] / path.name or path.suffix != ".json":  # a document may also be no JSON, or of no known format
        assert all(file in each and CAUSE.search(each) for each in told) or file == "speech/model.safetensors"
    # White space of a document, and what is written of an encoder's header, change nothing.
    assert same == 0 or file in ("result.json", "config.json")


@pytest.mark.parametrize("damage", [lambda image: b"", lambda image: image[: len(image) // 2], lambda image: image + b"\0"])
def test_empty_cut_and_longer_weights_are_named_with_both_hashes(
    damage: Callable[[bytes], bytes], results: dict[str, Path], trained: Any
) -> None:
    for name, file in [each for each in DAMAGED if each[1].endswith("model.safetensors") and "speech" not in each[1]]:
        path = results[name] / file
        image = path.read_bytes()
        path.write_bytes(damage(image))
        try:
            with pytest.raises(
                ResultError, match=rf"{path.name}.*expected sha256 [0-9a-f]{{12}}, found [0-9a-f]{{12}}\)?; {CURE}"
            ):
                logits_of(results, name, trained)
        finally:
            path.write_bytes(image)


def test_weights_of_another_run_of_the_same_head_are_refused(results: dict[str, Path], trained: Any, tmp_path: Path) -> None:
    places = [
        ("late", "weights/fold1-seed0.safetensors", "weights/fold2-seed0.safetensors"),
        ("late", "weights/fold1-seed0.safetensors", "weights/fold1-seed1.safetensors"),
        ("finetuned", "weights/fold1-seed0", "weights/fold3-seed0"),
        ("exported-finetuned", "fold1-seed0", "fold3-seed0"),
    ]
    for number, (name, one, other) in enumerate(places):
        copy = Path(shutil.copytree(results[name], tmp_path / str(number)))
        (copy / one).rename(copy / "aside")
        (copy / other).rename(copy / one)
        (copy / "aside").rename(copy / other)
        with pytest.raises(ResultError, match="damaged or not its own: expected sha256"):
            logits_of({name: copy}, name, trained)
        with pytest.raises(ResultError, match="damaged or not its own: expected sha256"):
            export_run(copy, tmp_path / "export", with_encoders=False)


def test_a_part_of_multi_level_fusion_that_is_damaged_is_refused(results: dict[str, Path], trained: Any) -> None:
    (part, *_) = json.loads((results["multi-level"] / "result.json").read_text())["parts"]
    path = results["multi-level"].parent / part / "weights" / "fold2-seed0.safetensors"
    image = path.read_bytes()
    flip(path, image, 8 * len(image) - 3)
    try:
        with pytest.raises(ResultError, match=r"fold2-seed0.safetensors: damaged or not its own"):
            logits_of(results, "multi-level", trained)
    finally:
        path.write_bytes(image)


def test_weights_from_before_there_were_hashes_are_said_to_be_unchecked_once(trained: Any, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trained.runs["text"], tmp_path / "run"))
    values = json.loads((copy / "result.json").read_text())
    del values["files_sha256"], values["self_sha256"]
    (copy / "result.json").write_text(json.dumps(values))
    told = "made before weights were hashed: not checked (3 files, first weights/fold1-seed0.safetensors)"
    for command in (["predict", str(copy), "--text", "leave me alone"], ["export", str(copy), str(tmp_path / "out")]):
        done = CliRunner().invoke(app, [*command, "--text-model", str(trained.text)], env={"COLUMNS": "300"})
        assert done.exit_code == 0, done.output
        assert " ".join(done.stderr.split()).count(told) == 1
        assert told not in done.stdout
