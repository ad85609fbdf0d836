"""Whoever follows docs/extending.md gets a corpus of another layout through every command."""

import json
import shutil
from pathlib import Path

import pytest

from mer.tests.extending.doc_blocks import PAGE, Told, done, give

# Commands, as a user gives them; what a section has made is there once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("extending corpora")]
PLUGINS = 'plugins = ["radio_plays"]'
SPOKEN = {"anna": ("furious", "glad", "cross"), "ben": ("glad", "glad", "furious"), "carla": ("cross", "bored", "glad")}


@pytest.fixture(scope="module")
def plays(ready: Path) -> tuple[Path, dict[str, Told]]:
    """The folder in which the section was followed, and what each command said."""
    sources = sorted((ready / "corpus").glob("*.wav"))
    for speaker, labels in SPOKEN.items():
        folder = ready / "plays" / speaker
        folder.mkdir(parents=True)
        for number, label in enumerate(labels, start=1):
            shutil.copy(sources.pop(), folder / f"{number}.wav")
            with (folder / "lines.tsv").open("a") as table:
                table.write(f"{number}.wav\t{label}\ti am so {label}\n")
    assert f"```toml\n{PLUGINS}\n```" in PAGE.read_text()
    settings = ready / "mer.toml"
    settings.write_text("\n".join([PLUGINS, *(line for line in settings.read_text().splitlines() if "as-is" not in line)]))
    return ready, done(ready, "A corpus")


def test_a_corpus_of_ones_own_goes_through_every_command(plays: tuple[Path, dict[str, Told]]) -> None:
    folder, told = plays
    commands = {command.partition(" ")[0] for command in told}
    assert commands == {"doctor", "extract", "train-head", "grid", "predict", "report"}
    doctor = told["doctor --corpus plays"].output
    assert "radio plays in plays: 9 utterances, complete" in doctor
    assert "radio_plays.py" in doctor
    results = [json.loads(file.read_text()) for file in folder.glob("runs/radio-*/result.json")]
    assert len(results) == 3
    for result in results:
        assert result["corpus"] == "radio"
        assert result["summary"]["classes"] == ["angry", "happy"]
        assert result["summary"]["all"]["utterances"] == 8
    assert len(told["predict runs/radio-late-F+T-* radio:plays"].output.splitlines()) > 8
    assert "| late F+T" in told["report runs --format markdown"].output


def test_another_class_map_of_the_same_name_is_another_run(plays: tuple[Path, dict[str, Told]]) -> None:
    folder, _ = plays
    source = folder / "radio_plays.py"
    source.write_text(source.read_text().replace('"happy"', '"joyful"'))
    words = ("train-head", "--cache", "plays-features", "--granularity", "F")
    (again,) = give([words], folder, {}).values()
    assert again.code == 0
    classes = [json.loads(file.read_text())["summary"]["classes"] for file in folder.glob("runs/radio-late-F+T-*/result.json")]
    assert sorted(classes) == [["angry", "happy"], ["angry", "happy"], ["angry", "joyful"]]
