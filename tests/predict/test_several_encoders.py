"""Two speech encoders and text, from the command line to an export: what the head reads is what each encoder made."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from mer.cache import CacheSet, open_cache, open_features
from mer.cli import app
from mer.corpus import open_corpus
from mer.extract import ExtractConfig, Resources, extract
from mer.grids.grid import GridError
from mer.grids.grid_check import check_grid, grid_in_cache
from mer.grids.grid_file import read_grid
from mer.heads import HeadConfig, HeadError, train_head
from mer.heads.config import head_config
from mer.heads.features.held_names import in_cache
from mer.predict import PredictError, Prediction, load
from mer.tests.extract.small_families import write_speech
from mer.tests.extract.small_text_families import write_text
from mer.tests.predict.conftest import write_corpus

WANTED = ("F@wavlm", "F@whisper", "S@whisper", "T@roberta")
SETTINGS: dict[str, Any] = {
    "classes": "as-is", "hidden": 8, "max_epochs": 2, "learning_rate": 0.05, "batch": 8, "seeds": (0,), "device": "cpu",
}  # fmt: skip


class Several(NamedTuple):
    """What the tests share."""

    root: Path
    features: CacheSet
    run: Path

    def encoders(self) -> dict[str, Any]:
        speech = tuple(f"{name}={self.root / name}" for name in ("wavlm", "whisper"))
        return {"speech_model": speech, "text_model": str(self.root / "roberta")}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Several:
    root = tmp_path_factory.mktemp("several")
    write_corpus(root / "corpus")
    write_speech("wavlm", root / "wavlm")
    write_speech("whisper", root / "whisper")
    write_text("RoBERTa", root / "roberta")
    words = ["extract", "--corpus", f"{root}/corpus/corpus.jsonl", "--cache", f"{root}/features", "--granularity", "F+S+T"]
    for option, name in (("speech", "wavlm"), ("speech", "whisper"), ("text", "roberta")):
        words += [f"--{option}-model", str(root / name)]
    done = CliRunner().invoke(app, [*words, "--workers", "1", "--device", "cpu", "--json", "--allow-missing-segments"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    features = open_features(root / "features")
    assert isinstance(features, CacheSet)
    assert Path(said["set"]) == features.path
    assert [each["key"] for each in said["caches"]] == [each.key for each in features.caches]
    config = head_config(granularities=WANTED[:3], **SETTINGS)  # T is of one encoder, and needs no name
    return Several(root, features, train_head(features, config, root / "runs").directory)


@pytest.mark.slow
def test_each_cache_of_a_set_is_the_one_that_its_encoder_has_alone(several: Several) -> None:
    config = ExtractConfig(speech_model=str(several.root / "whisper"), granularities=("F", "S"))
    alone = extract(
        open_corpus(several.root / "corpus" / "corpus.jsonl"), config, several.root / "alone",
        resources=Resources(device="cpu", workers=1),
    )  # fmt: skip
    inside = several.features.caches[1]
    assert inside.key == alone.key
    for shard in sorted((alone.folder / "shards").glob("*.h5")):
        other = inside.path / "shards" / shard.name
        assert hashlib.sha256(shard.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()


def test_logits_are_eq_1_to_3_of_each_encoders_own_layers(several: Several) -> None:
    result = json.loads((several.run / "result.json").read_text())
    assert result["branches"] == list(WANTED)
    assert {name: result["features"][name]["model"] for name in ("speech@wavlm", "speech@whisper", "text@roberta")} == {
        "speech@wavlm": "wavlm", "speech@whisper": "whisper", "text@roberta": "roberta",
    }  # fmt: skip
    weights = {
        name: each.astype(np.float64) for name, each in load_file(several.run / "weights" / "fold1-seed0.safetensors").items()
    }
    rows = (several.run / "predictions.csv").read_text().splitlines()
    ids = [row.split(",")[rows[0].split(",").index("id")] for row in rows[1:] if row.startswith("1,0,")]
    written = load_file(several.run / "logits.safetensors")["fold1-seed0"]
    assert len(ids) == len(written) > 3
    caches = dict(zip(("wavlm", "whisper"), several.features.caches, strict=True)) | {"roberta": several.features.caches[0]}
    for utterance_id, logits in zip(ids, written, strict=True):
        expected = np.zeros_like(logits, dtype=np.float64)
        for name in WANTED:
            unit, encoder = name.split("@")
            own = open_cache(caches[encoder].path).read(utterance_id, unit).astype(np.float64)
            expected += branch(own, name, weights)
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    shares = result["runs"][0]["layer_shares"]
    for name in WANTED:
        share = weights[f"averages.{name}.weights"]
        np.testing.assert_allclose(shares[name], share / share.sum(), rtol=1e-5)
    assert np.ptp([shares[name][0] for name in WANTED]) > 1e-4


def branch(units: np.ndarray, name: str, weights: dict[str, np.ndarray]) -> np.ndarray:
    """One summand of eq. 3 of Zhao 2022, in float64."""
    if f"statistics.{name}.mean" in weights:
        units = (units - weights[f"statistics.{name}.mean"]) / weights[f"statistics.{name}.std"]
    share = weights[f"averages.{name}.weights"]
    mixed = np.einsum("uld,l->ud", units, share / share.sum())
    mixed = (mixed - mixed.mean(1, keepdims=True)) / np.sqrt(mixed.var(1, keepdims=True) + 1e-5)
    hidden = mixed * weights[f"averages.{name}.gain"] + weights[f"averages.{name}.bias"]
    for layer in "12":
        hidden = np.maximum(hidden @ weights[f"branches.{name}.w{layer}"].T + weights[f"branches.{name}.b{layer}"], 0)
    summand: np.ndarray = hidden.mean(0) @ weights[f"branches.{name}.w3"].T + weights[f"branches.{name}.b3"]
    return summand


def test_a_run_alone_is_the_run_in_a_stack(several: Several) -> None:
    config = head_config(granularities=WANTED, **SETTINGS, folds=("1",))
    alone = train_head(several.features, config, several.root / "runs-alone").directory
    found, stacked = (load_file(each / "logits.safetensors")["fold1-seed0"] for each in (alone, several.run))
    np.testing.assert_allclose(found, stacked, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_run_and_its_export_answer_as_training_did(several: Several, tmp_path: Path) -> None:
    words = ["export", str(several.run), str(tmp_path / "out"), "--quiet"]
    for option, each in (*(("speech", each) for each in several.encoders()["speech_model"]), ("text", several.root / "roberta")):
        words += [f"--{option}-model", str(each)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    utterances = open_corpus(several.root / "corpus" / "corpus.jsonl").utterances
    here, there = load(several.run, device="cpu", **several.encoders()), load(tmp_path / "out", device="cpu")
    answers = here.predict_many(utterances)
    logits = {each.id: each.logits["fold1-seed0"] for each in answers if isinstance(each, Prediction)}
    assert len(logits) == len(utterances)
    assert there.predict_many(utterances) == answers
    tested = [each.id for each in utterances if each.session == "1"]
    written = load_file(several.run / "logits.safetensors")["fold1-seed0"]
    rows = [row.split(",")[2] for row in (several.run / "predictions.csv").read_text().splitlines() if row.startswith("1,0,")]
    assert sorted(tested) == sorted(rows)
    np.testing.assert_allclose([logits[each] for each in rows], written, rtol=1e-4, atol=1e-5)
    with pytest.raises(PredictError, match="speech encoders wavlm, whisper: give them by name, --speech-model wavlm=DIR"):
        load(several.run, device="cpu", speech_model=str(several.root / "wavlm"))


@pytest.mark.slow
def test_the_page_and_the_terminal_show_the_shares_of_each_encoder(several: Several, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(several.run), "--to", str(tmp_path / "shown")])
    assert done.exit_code == 0, done.output
    (page,) = (each.read_text() for each in (tmp_path / "shown").glob("**/*.html"))
    assert all(name in page for name in (*WANTED, "speech@whisper encoder"))


def test_granularities_are_called_as_the_cache_calls_them(several: Several) -> None:
    both, alone = several.features, several.features.caches[0]
    for given, expected in (
        (("F@wav", "S@whisper", "T"), ("F@wavlm", "S@whisper", "T@roberta")),
        (("T@rob",), ("T@roberta",)),
    ):
        assert in_cache(head_config(granularities=given), both).branches == expected
    assert in_cache(head_config(granularities=("F@wavlm", "T@roberta")), alone).branches == ("F", "T")
    plain = HeadConfig(granularities=("F", "S"))
    assert in_cache(plain, alone) is plain
    with pytest.raises(HeadError, match="F is of several speech encoders here: say which of F@wavlm, F@whisper"):
        in_cache(plain, both)
    with pytest.raises(
        HeadError, match=r"not F@hubert: `mer extract --granularity F\+S\+T --speech-model hubert=... --speech-mod"
    ):
        train_head(both, head_config(granularities=("F@hubert",), **SETTINGS), several.root / "none")
    with pytest.raises(HeadError, match="T beside T@roberta"):
        head_config(granularities=("F", "T", "T@roberta"))
    with pytest.raises(HeadError, match=r"unknown granularity F@a\.b, .* F@NAME"):
        HeadConfig(granularities=("F@a.b",))
    with pytest.raises(HeadError, match=r"takes text of one encoder, got F@a\+T@b\+T@c"):
        head_config(granularities=("F@a", "T@b", "T@c"), fusion="coattention")


@pytest.mark.slow
def test_coattention_and_grids_take_them_too(several: Several, tmp_path: Path) -> None:
    config = HeadConfig(granularities=("F@wavlm", "S@whisper"), fusion="coattention", attention_layers=1, **SETTINGS)
    result = train_head(several.features, config, several.root / "runs")
    assert result.values["branches"] == ["F@wavlm", "S@whisper", "T@roberta"]
    assert not result.values["failed_runs"]
    file = tmp_path / "table.toml"
    rows = "".join(f'[[rows]]\ngranularity = "{each}"\n' for each in ("F@wavlm+F@whisper+T@roberta", "s@whisper"))
    file.write_text(f'[grid]\ntitle = "two"\n[defaults]\nclasses = "as-is"\n{rows}')
    grid = grid_in_cache(read_grid(str(file)), several.features)
    check_grid(several.features, grid)
    assert [row.branches for row in grid.rows] == [("F@wavlm", "F@whisper", "T@roberta"), ("S@whisper", "T@roberta")]
    file.write_text(file.read_text().replace("s@whisper", "S"))
    with pytest.raises(GridError, match=r"late S\+T: granularity S is of several speech encoders here"):
        grid_in_cache(read_grid(str(file)), several.features)
