"""`mer align`, and the alignments that `mer extract` makes, as a user gives them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus.aligner import AlignSummary
from mer.corpus.synthetic import write_synthetic_corpus

RUN = CliRunner()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four synthetic recordings, one of them with a text that is not theirs."""
    from mer.corpus import open_corpus

    root = tmp_path_factory.mktemp("align")
    write_synthetic_corpus(root / "synthetic", utterances=100)
    rows = []
    for number, utterance in enumerate([u for u in open_corpus(root / "synthetic") if "[" not in (u.text or "")][:4]):
        text = (
            "these are far too many quite different words for so short a recording of somebody" if number == 3 else utterance.text
        )
        wav = utterance.wav.relative_to(root).as_posix()
        rows.append({"id": f"u{number}", "wav": wav, "text": text, "label": "joy", "speaker": "s", "session": "1"})
    path = root / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_align_writes_textgrids_lists_failures_and_compares(manifest: Path, tmp_path: Path) -> None:
    command = ["align", "--corpus", str(manifest), "--to", str(tmp_path / "grids"), "--workers", "1", "--quiet"]
    result = RUN.invoke(app, command)
    assert result.exit_code == 1
    assert "3 of 4 utterances aligned" in " ".join(result.stdout.split())
    assert "u3: the text cannot be what is said here" in " ".join(result.stdout.split())
    data = json.loads(RUN.invoke(app, [*command, "--json"]).stdout)
    assert (data["aligned"], data["made"], [f["id"] for f in data["failed"]]) == (3, 0, ["u3"])
    check = RUN.invoke(app, [*command, "--check", str(tmp_path / "grids"), "--json"])
    assert check.exit_code == 0
    assert [tier["median"] for tier in json.loads(check.stdout)["tiers"]] == [0.0, 0.0, 0.0]
    shown = RUN.invoke(app, [*command, "--check", str(tmp_path / "grids")])
    assert "3 of 4 utterances in both" in " ".join(shown.stdout.split())
    none = RUN.invoke(app, [*command, "--check", str(tmp_path / "nowhere")])
    assert none.exit_code == 2
    assert "no such folder of TextGrids" in none.stderr


def test_extract_aligns_first_and_resegments_from_kept_frames(
    manifest: Path, tmp_path: Path, speech_encoder_folder: Callable[[str], Path], text_encoder_folder: Path
) -> None:
    command = ["extract", "--corpus", str(manifest), "--cache", str(tmp_path / "features"), "--workers", "1", "--quiet"]
    command += ["--speech-model", str(speech_encoder_folder("wav2vec2")), "--text-model", str(text_encoder_folder), "--json"]
    first = RUN.invoke(app, command)
    assert first.exit_code == 1, first.stderr  # not one alignment, and P, S and W are wanted
    assert json.loads(first.stdout)["alignments"] == {"none": 4}
    assert json.loads(first.stdout)["tiers"]["S"]["reasons"] == {"no alignment": 4}
    again = RUN.invoke(app, [*command, "--alignment", "pocketsphinx", "--resegment"])
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["alignments"] == {"pocketsphinx": 3, "none": 1}
    assert json.loads(again.stdout)["key"] != json.loads(first.stdout)["key"]
    grids = str(tmp_path / "features" / "own" / "pocketsphinx")
    other = RUN.invoke(app, [*command, "--alignment", "textgrid", "--textgrids", grids, "--granularity", "W"])
    assert json.loads(other.stdout)["alignments"] == {"textgrid": 3, "none": 1}
    alone = RUN.invoke(app, [*command, "--textgrids", grids])
    assert alone.exit_code == 2
    assert "belong together" in alone.stderr


def test_a_share_says_what_the_others_have_to_align(manifest: Path, tmp_path: Path) -> None:
    command = ["align", "--corpus", str(manifest), "--to", str(tmp_path), "--workers", "1", "--quiet"]
    other = RUN.invoke(app, [*command, "--shard-rank", "1", "--shard-world", "2"])
    assert other.exit_code == 0, other.stderr
    assert "not looked at: 4 utterances: the other shares, or the same command again, align them" in " ".join(
        other.stdout.split()
    )
    own = RUN.invoke(app, [*command, "--shard-rank", "0", "--shard-world", "2", "--json"])
    assert own.exit_code == 1
    assert (json.loads(own.stdout)["aligned"], json.loads(own.stdout)["waiting"]) == (3, 0)
    half = RUN.invoke(app, [*command, "--shard-rank", "0"])
    assert half.exit_code == 2
    assert "--shard-rank and --shard-world go together" in half.stderr


def test_pieces_that_were_given_up_are_told(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mer.corpus.aligner import align_work

    def full_disk(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(align_work, "write_textgrid", full_disk)
    result = RUN.invoke(app, ["align", "--corpus", str(manifest), "--to", str(tmp_path), "--workers", "1", "--quiet"])
    shown = " ".join(result.stdout.split())
    assert result.exit_code == 1
    assert "given up at try 1, the same command tries again: No space left on device. Free space" in shown
    assert shown.endswith("not looked at: 4 utterances")


def test_extract_goes_no_further_while_utterances_wait_to_be_aligned(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of the aligner was lost twice: its utterances were never looked at, and must not become one segment each."""
    waiting = AlignSummary(
        folder=tmp_path,
        aligner="none",
        utterances=4,
        aligned=2,
        made=2,
        seconds=1.0,
        failed=(),
        unknown_words={},
        fillers_lost=0,
        waiting=2,
        given_up=(),
    )
    monkeypatch.setattr("mer.commands.extract.align_with_bar", lambda *arguments: waiting)
    command = ["extract", "--corpus", str(manifest), "--cache", str(tmp_path), "--alignment", "pocketsphinx", "--quiet"]
    result = RUN.invoke(app, command)
    assert result.exit_code == 2
    assert "2 utterances are not aligned yet: give the same command again" in result.stderr
