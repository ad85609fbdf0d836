"""`mer extract` in shares and with shards that fail, as a person meets it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mer.extract.workers
from mer.cli import app
from mer.extract import ExtractConfig

MakeManifest = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mer_extract(make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path) -> Run:
    """The command on a corpus of three shards: exit code, output, messages."""
    places = ["--corpus", str(make_manifest(3)), "--cache", str(tmp_path / "features"), "--device", "cpu"]
    models = ["--speech-model", config.speech_model, "--text-model", config.text_model]

    def run(*options: str) -> tuple[int, str, str]:
        found = CliRunner().invoke(app, ["extract", *places, *models, *options], env={"COLUMNS": "200"})
        return found.exit_code, found.stdout, found.stderr

    return run


def test_shares_say_what_the_others_have_still_to_do(mer_extract: Run) -> None:
    code, out, _ = mer_extract("--shard-rank", "1", "--shard-world", "2", "--workers", "1")
    assert (code, "1 in 1 shard (1 made now)" in out) == (0, True)
    assert "share 1 of 2: 2 shards of the others are not there yet" in out
    code, out, err = mer_extract("--shard-rank", "0", "--shard-world", "2", "--workers", "1")
    assert (code, "2 in 2 shards (2 made now)" in out) == (0, True)
    assert "share 0 of 2: the others are done" in out
    assert "going on" not in err
    code, out, err = mer_extract("--workers", "1", "--json")
    assert (code, json.loads(out)["shards_made"], json.loads(out)["utterances"]) == (0, 0, 3)


def test_shards_that_fail_are_listed_and_the_exit_code_is_1(mer_extract: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise OSError("no space left on n1")

    with monkeypatch.context() as patch:
        patch.setattr(mer.extract.workers, "encode_shard", fail)
        code, out, err = mer_extract("--workers", "1")
    assert code == 1
    assert "3 shards failed, not in the cache:\n  session1-000: no space left on n1 (on " in out
    assert "shard session3-000 was given up at try 1: no space left on n1" in err
    code, out, _ = mer_extract("--workers", "1")
    assert (code, "failed" in out) == (0, False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shard-rank", "0"], "--shard-rank and --shard-world go together"),
        (["--shard-rank", "2", "--shard-world", "2"], "ranks go from 0 to 1"),
        (["--backend", "slurm", "--shard-rank", "0", "--shard-world", "2"], "divides the work itself"),
        (["--backend", "slurm"], "--backend slurm needs --workers N"),
        (["--slurm", "partition=gpu"], "--slurm is for --backend slurm"),
        (["--resegment", "--shard-rank", "0", "--shard-world", "2"], "without --backend and --shard-rank"),
    ],
)
def test_options_that_do_not_fit_are_refused(mer_extract: Run, options: list[str], words: str) -> None:
    code, _, err = mer_extract(*options)
    assert (code, words in " ".join(err.replace("│", " ").split())) == (2, True)
