"""What the Hugging Face hub reads of a model card, against the result that it is of."""

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from mer.corpus import CORPORA
from mer.predict import export_run
from mer.predict.card_metadata import HUB_METRICS, card_metadata

SCORES = {
    "ua": {"mean_of_folds": 0.71234567, "merged": 0.5},
    "wa": {"mean_of_folds": 0.6, "merged": 0.5},
    "macro_f1": {"mean_of_folds": 0.55556, "merged": 0.5},
    "kappa": {"mean_of_folds": 0.1, "merged": 0.5},
    "utterances": 9,
}


def metadata(encoders: dict[str, Any] | None = None, *, license: str = "unknown", **changed: Any) -> Any:
    """The metadata as the hub's own library reads it back from a card."""
    result: dict[str, Any] = {"corpus": "iemocap", "synthetic": False, "config": {}, "branches": ["F", "T"]}
    result |= {"summary": {"all": SCORES}, **changed}
    lines = card_metadata(result, encoders or {}, title="a: b", protocol="leave one session out", license=license)
    return ModelCard(f"---\n{lines}\n---\n# a: b\n").data


def test_a_known_corpus_gives_language_data_set_and_its_name() -> None:
    found = metadata()
    assert (found.language, found.datasets, found.license) == ("en", ["iemocap"], "unknown")
    assert found.eval_results[0].dataset_name == "IEMOCAP"
    assert metadata(corpus="emodb", license="cc-by-nc-4.0").license == "cc-by-nc-4.0"
    assert metadata(corpus="emodb").language == "de"
    assert metadata(corpus="esd").language == ["en", "zh"]


def test_a_table_of_ones_own_is_no_data_set_of_the_hub_whatever_its_file_is_called() -> None:
    for found in (metadata(corpus="calls"), metadata({"corpus": {"kind": "manifest"}}), metadata(corpus="manifest")):
        assert "language" not in found.to_dict()
        assert "datasets" not in found.to_dict()
    synthetic = metadata({"corpus": {"kind": "iemocap"}}, corpus="synthetic", synthetic=True)
    assert (synthetic.language, "datasets" in synthetic.to_dict()) == ("en", False)
    assert synthetic.eval_results[0].dataset_name == "synthetic"
    assert "synthetic-speech" in synthetic.tags


def test_measures_have_the_hubs_names_and_the_results_numbers() -> None:
    found = metadata()
    assert found.metrics == ["recall", "accuracy", "f1"]
    told = {(each.metric_type, json.dumps(each.metric_args)): each.metric_value for each in found.eval_results}
    macro = '{"average": "macro"}'
    assert told == {("recall", macro): 0.7123, ("accuracy", "null"): 0.6, ("f1", macro): 0.5556}
    assert {each.dataset_args["protocol"] for each in found.eval_results} == {"leave one session out"}
    assert set(HUB_METRICS) < set(SCORES)
    rated = metadata(
        config={"predict": "vad"},
        summary={
            "all": {"ccc": {"mean_of_folds": 0.5}, "ccc_arousal": {"mean_of_folds": 0.25}, "ccc_valence": {"mean_of_folds": None}}
        },
    )
    assert rated.metrics == ["ccc"]
    assert [each.metric_value for each in rated.eval_results] == [0.5, 0.25]
    none = metadata(summary={"all": {"ua": {"mean_of_folds": None}}}).to_dict()
    assert not {"metrics", "model-index"} & set(none)


def test_base_models_are_encoders_that_the_hub_has() -> None:
    encoders = {
        "speech@wavlm": {"model": "people/wavlm", "revision": "1a"},
        "speech@own": {"model": "mine/own", "revision": None},
        "text": {"model": "bert-base-uncased", "revision": "2b"},
        "segments": {"model": "no/encoder", "revision": "3c"},
    }
    assert metadata(encoders).base_model == ["people/wavlm", "bert-base-uncased"]
    assert "base_model" not in metadata({"speech": {"model": "small", "revision": None}}).to_dict()


@pytest.mark.parametrize(
    ("branches", "task"), [(["F", "T"], "audio"), (["F@wavlm"], "audio"), (["T"], "text"), (["T@own", "text"], "text")]
)
def test_what_only_reads_is_found_among_text_classifiers(branches: list[str], task: str) -> None:
    found = metadata(branches=branches)
    assert found.pipeline_tag == found.eval_results[0].task_type == f"{task}-classification"


def test_each_kind_that_is_one_corpus_says_its_languages_in_two_letters() -> None:
    spoken = {name: kind.languages for name, kind in CORPORA.items() if kind.languages}
    assert all(len(code) == 2 and code.islower() for codes in spoken.values() for code in codes)
    assert {name for name, kind in CORPORA.items() if kind.released} <= set(spoken)
    assert not {"manifest", "kaldi", "audiofolder", "lhotse", "emobox", "audformat", "speechbrain"} & set(spoken)


@pytest.mark.parametrize("name", ["text", "ratings", "finetuned"])
def test_an_exports_card_is_read_back_with_the_numbers_of_its_result(name: str, trained: Any, tmp_path: Path) -> None:
    settings = {} if name == "finetuned" else {"speech_model": trained.speech, "text_model": trained.text}
    folder = export_run(trained.runs[name], tmp_path / "new", license="cc-by-4.0", **settings).folder
    card = ModelCard.load(folder / "README.md")
    data: Any = card.data
    scores = json.loads((trained.runs[name] / "result.json").read_text())["summary"]["all"]
    found = [each.metric_value for each in data.eval_results]
    names = ["ccc", "ccc_valence", "ccc_arousal", "ccc_dominance"] if name == "ratings" else list(HUB_METRICS)
    assert found == [round(scores[each]["mean_of_folds"], 4) for each in names]
    assert data.license == "cc-by-4.0"
    assert "base_model" not in data.to_dict()
    assert "under which licence" not in card.text
