"""`mer extract --texts`: features of other transcripts beside those of the corpus' own."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import mer.commands.extract as command
from mer.cache import open_cache
from mer.cli import app
from mer.commands.extract import WhatIsExtracted, with_alignment
from mer.corpus import Corpus, open_corpus
from mer.corpus.aligner.aligner_options import AlignerOptions
from mer.corpus.given_texts import read_texts
from mer.extract import ExtractConfig
from mer.extract.resegment import _fits

Run = Callable[..., dict[str, Any]]
HEARD = "id,text\nutt000,happy a loan noon\nutt001,happy alone noon\nutt002,\n"


@pytest.fixture
def run(make_manifest: Callable[..., Path], config: ExtractConfig, tmp_path: Path) -> Run:
    """The command on three utterances; `asr.csv` has other transcripts of them."""
    corpus = make_manifest(3)
    (tmp_path / "asr.csv").write_text(HEARD)
    models = ["--speech-model", config.speech_model, "--text-model", config.text_model]

    def extract(*options: str, code: int = 0) -> dict[str, Any]:
        places = ["--corpus", str(corpus), "--cache", str(tmp_path / "features"), "--device", "cpu", "--workers", "1", "--json"]
        found = CliRunner().invoke(app, ["extract", *places, *models, *options], env={"COLUMNS": "200"})
        assert found.exit_code == code, found.output
        return {**(json.loads(found.stdout) if not code else {}), "said": found.stderr}

    return extract


def test_gold_and_recognised_texts_stand_side_by_side(run: Run, make_manifest: Callable[..., Path], tmp_path: Path) -> None:
    gold = run("--granularity", "T")
    heard = run("--granularity", "T", "--texts", str(tmp_path / "asr.csv"))
    assert gold["folder"] != heard["folder"]
    assert run("--granularity", "T")["shards_made"] == 0
    rows = HEARD.splitlines()
    (tmp_path / "again.tsv").write_text("\n".join([rows[0], *rows[:0:-1]]).replace(",", "\t"))
    assert run("--granularity", "T", "--texts", str(tmp_path / "again.tsv"))["shards_made"] == 0
    assert "1 transcripts of" in heard["said"]

    one, other = (open_cache(Path(each["folder"])) for each in (gold, heard))
    assert other.read("utt000", "T").shape != one.read("utt000", "T").shape
    assert other.utterances.texts == ("happy a loan noon", "happy alone noon", "")
    given = other.spec["text"].pop("transcripts")
    assert len(given) == 64
    assert one.spec["text"] == other.spec["text"]
    # The same numbers as a corpus whose own transcripts these are.
    manifest = make_manifest(3, folder="written")
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line, row in zip(lines, rows[1:3], strict=False):
        line["text"] = row.partition(",")[2]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    own = open_cache(Path(run("--granularity", "T", "--corpus", str(manifest))["folder"]))
    for name in ("utt000", "utt001"):
        np.testing.assert_array_equal(other.read(name, "T"), own.read(name, "T"))


def test_what_does_not_fit_is_said_or_refused(run: Run, tmp_path: Path) -> None:
    texts = ["--texts", str(tmp_path / "asr.csv")]
    assert "texts: without granularity T no transcript is read" in run("--granularity", "F", *texts, code=2)["said"]
    note = "W of 3 utterances are averaged over the corpus' own alignments, which are of its own words"
    assert note in run("--granularity", "W+T", *texts)["said"]
    (tmp_path / "asr.csv").write_text("id,text\nutt000,x\n")
    assert "2 of the 3 utterances of 'small' are not in it, first utt001, utt002" in run(*texts, code=2)["said"]


def test_alignments_of_other_words_have_a_folder_of_their_own(
    make_manifest: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []

    class Summary:
        waiting, failed, aligned = 0, (), 0

    def align(corpus: Corpus, folder: Path, *rest: object) -> type[Summary]:
        folders.append(folder.name)
        return Summary

    monkeypatch.setattr(command, "align_with_bar", align)
    corpus = open_corpus(make_manifest(3))
    (tmp_path / "asr.csv").write_text(HEARD)
    for texts in (None, tmp_path / "asr.csv"):
        config = ExtractConfig(alignment="pocketsphinx", texts=texts)
        with_alignment(corpus, config, AlignerOptions(), WhatIsExtracted(cache=tmp_path), 1, quiet=True)
    assert folders == ["pocketsphinx", f"pocketsphinx-{read_texts(tmp_path / 'asr.csv').sha256[:12]}"]


def test_frames_are_not_segmented_anew_beside_other_texts(config: ExtractConfig, tmp_path: Path) -> None:
    (tmp_path / "asr.csv").write_text(HEARD)
    spec: dict[str, Any] = {
        "granularities": ["F", "T"],
        "speech": {"model": Path(config.speech_model).name},
        "text": {"model": Path(config.text_model).name, "tags": "drop"},
        "compute": {"dtype": "float32"},
        "storage": {"dtype": "float16"},
        "layers": {},
    }
    other = dataclasses.replace(config, texts=tmp_path / "asr.csv")
    assert _fits(spec, config)
    assert not _fits(spec, other)
    spec["text"]["transcripts"] = read_texts(tmp_path / "asr.csv").sha256
    assert _fits(spec, other)
    assert not _fits(spec, config)
