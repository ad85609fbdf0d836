import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import open_corpus
from mer.predict import PredictError, Predictor
from mer.predict.evaluation import ask, evaluate, read_map
from mer.tests.predict.conftest import Trained


def with_other_labels(trained: Trained, **changes: Any) -> Path:
    """The corpus under another name, with labels in another language, a split and a label that means nothing."""
    words = {"angry": "Wut", "happy": "Freude", "sad": "Trauer"}
    rows = [json.loads(line) for line in trained.corpus.read_text().splitlines()]
    for number, row in enumerate(rows):
        row["label"] = "Langeweile" if number == 4 else words[row["label"]]
    file = trained.corpus.with_name("other.jsonl")
    file.write_text("\n".join(json.dumps(row | changes) for row in rows) + "\n")
    return file


def test_a_result_on_transcripts_from_elsewhere_is_another_one_and_says_so(trained: Trained, tmp_path: Path) -> None:
    texts = tmp_path / "heard.csv"
    texts.write_text("id,text\n" + "".join(f"u{number},the bus leaves\n" for number in range(18)))
    words = ["evaluate", str(trained.runs["text"]), "--corpus", str(trained.corpus), "--text-model", str(trained.text)]
    found = []
    for more in ([], ["--texts", str(texts)]):
        done = CliRunner().invoke(app, [*words, "--runs", str(tmp_path), "--device", "cpu", "--json", "--quiet", *more])
        assert done.exit_code == 0, done.output
        found += json.loads(done.stdout)["results"]
    own, heard = found
    assert own["directory"] != heard["directory"]
    assert (heard["transcripts"]["file"], "transcripts" in own) == ("heard.csv", False)
    assert heard["name"] == f"{own['name']}, texts of heard.csv"
    logits = load_file(Path(heard["directory"]) / "logits.safetensors")
    assert all(float(np.ptp(each, axis=0).max()) < 1e-6 for each in logits.values())  # one text, one answer
    assert float(np.ptp(load_file(Path(own["directory"]) / "logits.safetensors")["foldcorpus-seed0"], axis=0).max()) > 1e-4


@pytest.mark.parametrize("name", ["late", "finetuned"])
def test_every_trained_run_is_scored_on_the_same_utterances_with_the_logits_of_its_test(
    trained: Trained, loaded: Callable[..., Predictor], written_logits: Callable[[str], Any], tmp_path: Path, name: str
) -> None:
    (tmp_path / "labels.toml").write_text('[labels]\nWut = "angry"\nFreude = "happy"\nTrauer = "sad"\n')
    other, run = with_other_labels(trained), trained.runs[name]
    encoders = [] if name == "finetuned" else ["--speech-model", str(trained.speech), "--text-model", str(trained.text)]
    asked = ["evaluate", str(run), "--corpus", str(other), "--map", str(tmp_path / "labels.toml"), "--device", "cpu", *encoders]
    shown = CliRunner().invoke(app, [*asked, "--runs", str(tmp_path / "runs"), "--alignment", "none", "--json", "--quiet"])
    assert shown.exit_code == 0, shown.output
    (values,) = json.loads(shown.stdout)["results"]
    folder = Path(values["directory"])
    assert (values["corpus"], values["trained_on"]["corpus"]) == ("other", "corpus")
    assert values["utterances"]["by_other_label"] == {"Langeweile": 1}
    assert values["summary"]["all"]["utterances"] == 17
    runs = values["trained_on"]["runs"]
    assert len(values["runs"]) == len(runs) == len(loaded(name).runs)
    assert "the spread over seeds is that over these runs" in values["notes"][0]

    logits = load_file(folder / "logits.safetensors")
    with (folder / "predictions.csv").open(newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file) if row["seed"] == "0"]
    for number, each in enumerate(runs):
        utterances, theirs = written_logits(name)[each]
        there = {utterance.id: row for utterance, row in zip(utterances, theirs, strict=True)}
        ours = logits[f"foldother-seed{number}"]
        both = [(ours[place], there[utterance]) for place, utterance in enumerate(ids) if utterance in there]
        assert len(both) >= 5
        here, before = (np.array(side) for side in zip(*both, strict=True))
        np.testing.assert_allclose(here, before, rtol=2e-2, atol=2e-3)

    again = CliRunner().invoke(app, [*asked, "--runs", str(tmp_path / "runs"), "--alignment", "none", "--quiet", "--json"])
    assert json.loads(again.stdout)["results"][0]["summary"] == values["summary"]
    report = CliRunner().invoke(app, ["report", str(folder), "--to", str(tmp_path / "report"), "--quiet"])
    assert report.exit_code == 0, report.output


def test_what_a_map_does_not_say_is_refused(trained: Trained, loaded: Callable[..., Predictor], tmp_path: Path) -> None:
    predictor, run = loaded("text"), trained.runs["text"]
    corpus = open_corpus(with_other_labels(trained))
    with pytest.raises(PredictError, match=r'labels are Freude, Langeweile, .*say which is which with --map .*Freude = "angry"'):
        ask(corpus, run, predictor.classes, None)
    with pytest.raises(PredictError, match="the map makes joy, and the run has the classes angry, happy, sad only"):
        ask(corpus, run, predictor.classes, {"Freude": "joy"})
    with pytest.raises(PredictError, match="has no utterance of part test; its parts are none"):
        ask(corpus, run, predictor.classes, {"Freude": "happy"}, ["test"])
    own = ask(open_corpus(trained.corpus), run, predictor.classes, None)
    assert own.labels == {"angry": "angry", "happy": "happy", "sad": "sad"}
    result = evaluate(run, predictor, own, tmp_path / "runs", progress=lambda done, total: None)
    assert "trained on a corpus of the same name" in result.values["notes"][-1]
    for text in ("joy = 3", "joy", ""):
        (tmp_path / "map.toml").write_text(text)
        with pytest.raises(PredictError, match='such as joy = "happy"'):
            read_map(tmp_path / "map.toml")
