"""`mer report --by`: scores of parts, against plain numpy."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sklearn.metrics import balanced_accuracy_score, f1_score
from typer.testing import CliRunner

from mer.cli import app
from mer.report.by_part import known_parts
from mer.report.errors import ReportError
from mer.report.part_scores import PARTS, parts_of
from mer.report.utterance_facts import UtteranceFacts

run = CliRunner().invoke
LABELS = dict(zip([f"u{number}" for number in range(1, 9)], "aassaaas", strict=True))
GENDER = {name: "male" if name in ("u2", "u4", "u6") else "female" for name in LABELS}
TEXT = {"u1": "aa", "u2": "as", "u3": "ss", "u4": "as", "u5": "aa", "u6": "aa", "u7": "sa", "u8": "sa"}
"""What the text head of the small runs said about each utterance, with each of its two seeds."""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A corpus of the eight utterances of the small runs, with columns of its own."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    lines = []
    for number, (name, letter) in enumerate(LABELS.items(), start=1):
        entry: dict[str, Any] = {"id": name, "wav": f"{name}.wav", "text": "x", "label": {"a": "angry", "s": "sad"}[letter]}
        entry |= {"speaker": f"S{number % 2}", "session": "1" if number < 5 else "2", "Gender": GENDER[name]}
        entry |= {"age": str(9 + number % 2), "votes": {"angry": 2 + number % 2}}
        lines.append(json.dumps(entry))
        soundfile.write(folder / f"{name}.wav", np.full(1600 * number, 0.1), 16000)
    (folder / "tiny.jsonl").write_text("\n".join(lines))
    return folder / "tiny.jsonl"


def rows_by(two_runs: Path, manifest: Path, column: str) -> list[dict[str, str]]:
    done = run(app, ["report", str(two_runs), "--by", column, "--corpus", str(manifest), "--format", "csv", "--quiet"])
    assert done.exit_code == 0, done.output
    scores, parts = done.stdout.split("\n\n")
    assert "part" not in scores.splitlines()[0].split(",")
    return list(csv.DictReader(io.StringIO(parts)))


def test_measures_of_a_part_are_those_of_its_utterances(two_runs: Path, manifest: Path) -> None:
    rows = {row["name"]: row for row in rows_by(two_runs, manifest, "gender")}
    assert list(rows) == [f"{head}: {part}" for head in ("late F+T", "linear T") for part in ("female", "male")]
    for part in ("female", "male"):
        names = [name for name, value in GENDER.items() if value == part]
        row = rows[f"linear T: {part}"]
        assert (row["part"], row["utterances"], row["runs"]) == (part, str(len(names)), "4")
        said = [([LABELS[name] for name in names], [TEXT[name][seed] for name in names]) for seed in (0, 1)]
        assert float(row["ua_merged"]) == pytest.approx(100 * np.mean([balanced_accuracy_score(*each) for each in said]))
        merged = 100 * np.mean([f1_score(*each, average="macro") for each in said])
        assert float(row["macro_f1_merged"]) == pytest.approx(merged)


@pytest.mark.parametrize(
    ("column", "parts"),
    [
        ("votes", {"2": 4, "3": 4}),
        ("age", {"9": 4, "10": 4}),
        ("duration", {"< 2 s": 8}),
        ("speaker", {"S0": 4, "S1": 4}),
        ("GENDER", {"female": 5, "male": 3}),
    ],
)
def test_parts_are_of_facts_and_of_any_column(two_runs: Path, manifest: Path, column: str, parts: dict[str, int]) -> None:
    rows = [row for row in rows_by(two_runs, manifest, column) if row["name"].startswith("late")]
    found = [(row["part"], int(row["utterances"])) for row in rows]
    assert found == list(parts.items())


def test_a_column_that_is_not_there_lists_those_that_are(two_runs: Path, manifest: Path) -> None:
    words = ["report", str(two_runs), "--corpus", str(manifest), "--by"]
    missing = run(app, [*words, "accent"])
    assert missing.exit_code == 2
    assert (
        "--by accent: 'accent' is said of no utterance; there are (with their number of parts): session (2), " in missing.stderr
    )
    assert "gender (2), votes (2), Gender (2), age (2)" in missing.stderr.replace("\n", " ")
    nothing = run(app, ["report", str(two_runs), "--by", "gender", "--cache", str(two_runs / "none")])
    assert nothing.exit_code == 2
    assert "give --corpus or --cache" in nothing.stderr


def test_a_column_of_names_is_no_division() -> None:
    facts = {f"u{n}": UtteranceFacts(id=f"u{n}", session="1", columns={"file": str(n)}) for n in range(101)}
    with pytest.raises(ReportError, match=r"--by file: 'file' has 101 values, more than 100 parts; there are .*session \(1\)$"):
        known_parts(facts, "file")


def test_tables_are_printed_for_people_and_as_json(two_runs: Path, manifest: Path) -> None:
    words = ["report", str(two_runs), "--by", "age", "--by", "gender", "--corpus", str(manifest), "--quiet"]
    shown = run(app, words).stdout
    assert "tiny, 2 classes, by age" in shown
    assert "late F+T: female" in shown
    (report,) = json.loads(run(app, [*words, "--json"]).stdout)["tables"]
    assert [row["part"] for row in report["by"]["age"]["rows"]] == ["9", "10"] * 2
    assert "part" not in report["table"]["rows"][0]


@pytest.mark.slow  # every figure of a page in three formats
def test_tables_and_figures_are_written(two_runs: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(app, ["report", str(two_runs), "--by", "age", "--corpus", str(manifest), "--quiet", "--to", str(out)])
    assert done.exit_code == 0, done.output
    assert "linear T: 10" in (out / "by-age.md").read_text()
    assert (out / "figures" / "ua-by-age.pdf").is_file()
    assert all(f"{what} in percent" in (out / "index.html").read_text() for what in ("UA by age", "UA by gender"))
    assert "Reliability: share of answers" in (out / "index.html").read_text()


def test_a_part_that_lacks_a_class_says_so(two_runs: Path, manifest: Path) -> None:
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line in lines:
        line["accent"] = line["label"]
    manifest.write_text("\n".join(map(json.dumps, lines)))
    shown = run(app, ["report", str(two_runs), "--by", "accent", "--corpus", str(manifest), "--format", "markdown"]).stdout
    assert "late F+T: sad: it has no angry, so that its UA and F1 are of fewer classes." in shown


def test_gender_is_a_column_or_the_letter_of_an_iemocap_speaker() -> None:
    facts = {
        "a": UtteranceFacts(id="a", session="1", speaker="1F"),
        "b": UtteranceFacts(id="b", session="2", speaker="2M"),
        "c": UtteranceFacts(id="c", session="2", speaker="SF", columns={"Sex": "m"}),
        "d": UtteranceFacts(id="d", session="x", speaker="DF"),
    }
    assert parts_of(facts, "gender") == {"a": "female", "b": "male", "c": "m", "d": ""}
    assert "gender" in PARTS
