"""A head and a model that was trained whole, of other encoders' granularities, combined by the same validation utterances."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from mer.cache import open_cache
from mer.heads import HeadConfig, train_head
from mer.predict.loading import temperatures_of
from mer.predict.saved_run import read_saved
from mer.protocol.calibration import softmax
from mer.results.combination import Asked, combine
from mer.results.run_answers import read_validation_logits
from mer.results.run_files import read_result
from mer.tests.predict.conftest import TRAINING, Trained


def test_a_head_and_a_fine_tuned_model_are_combined_by_validation(trained: Trained, tmp_path: Path) -> None:
    cache = open_cache(trained.corpus.parent.parent / "features")
    config = HeadConfig(classes="as-is", **TRAINING, granularities=("S",), fusion="late", folds=("1", "3"))
    parts = [train_head(cache, config, tmp_path).directory, trained.runs["finetuned"]]
    asked = Asked(weights="validation", runs=tmp_path, name=None)
    found = combine(parts, asked, styles=lambda results: {}, start={"versions": {}, "started": 1.0})
    said = [load_file(each / "logits.safetensors") for each in parts]
    for name, logits in load_file(found.directory / "logits.safetensors").items():
        weights = [each["weights"][name] for each in found.values["combined"]]
        mixed = sum(weight * softmax(each[name]) for weight, each in zip(weights, said, strict=True))
        np.testing.assert_allclose(softmax(logits), mixed, rtol=1e-10)


def test_every_kind_of_run_keeps_what_it_said_about_its_validation_part(trained: Trained) -> None:
    for name in ("late", "multi-level", "finetuned"):
        directory = trained.runs[name]
        result, (saved, document) = read_result(directory), read_saved(directory)
        held_out = read_validation_logits(directory, result)
        assert set(held_out) == {(run["fold"], run["seed"]) for run in result["runs"]}
        for run in result["runs"]:
            each = held_out[run["fold"], run["seed"]]
            if run["validation_ua"] is None:  # multi-level fusion has no epochs
                continue
            right = [np.mean(each.logits[np.array(each.labels) == label].argmax(1) == place)
                     for place, label in enumerate(saved.classes) if label in each.labels]  # fmt: skip
            # What the best epoch said: the weights that were tested.
            assert np.isclose(np.mean(right), run["validation_ua"])
        assert len(temperatures_of(document, saved.runs, directory)) == len(saved.runs)
