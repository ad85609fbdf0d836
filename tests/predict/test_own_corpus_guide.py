"""The guide of docs/own-corpus.md, as it stands: a folder of recordings, one table, five commands."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus.synthetic.espeak import Delivery, open_synthesizer
from mer.tests.fenced_blocks import blocks_of

pytest.importorskip("pocketsphinx")
GUIDE = (Path(__file__).parents[2] / "docs" / "own-corpus.md").read_text(encoding="utf-8")
(COMMANDS,) = (block.commands for block in blocks_of(GUIDE) if block.language == "console")
SAID = {
    "angry": ("leave me alone", "i will not say it again", "get out of my house"),
    "happy": ("i am so happy that you came", "what a lovely day", "we won the game"),
    "sad": ("we lost it all", "nothing will bring it back", "i miss her every day"),
}
VOICES = {"anna": "en-us+f1", "ben": "en-us+m1", "carla": "en-us+f3"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Any) -> Path:
    """What the guide asks for: recordings of three people, the table with the columns of the guide, and two new clips."""
    header = GUIDE.split("```csv\n")[1].split("\n")[0]
    assert header == "id,wav,text,label,speaker,session"
    rows, recordings = [header], tmp_path / "recordings"
    (recordings / "new").mkdir(parents=True)
    with open_synthesizer() as synthesizer:

        def speak(path: Path, text: str, voice: str, rate: int) -> None:
            path.parent.mkdir(exist_ok=True)
            speech = synthesizer.speak(text, voice, Delivery(rate=rate))
            soundfile.write(path, speech.samples, speech.sample_rate)

        for session, (speaker, voice) in enumerate(VOICES.items(), start=1):
            for label, texts in SAID.items():
                for number, text in enumerate(texts):
                    wav = f"{speaker}/{label}{number}.wav"
                    speak(recordings / wav, text, voice, 120 + 10 * number)
                    rows.append(f"{speaker}-{label}{number},{wav},{text},{label},{speaker},{session}")
        speak(recordings / "new" / "clip.wav", "i lost my game", "en-us+m2", 120)
        speak(recordings / "new" / "other.wav", "leave my house", "en-us+m2", 120)
    (recordings / "new" / "clip.txt").write_text("i lost my game")
    (recordings / "new" / "other.txt").write_text("leave my house")
    (recordings / "corpus.csv").write_text("\n".join(rows) + "\n")
    settings = f'speech-model = "{trained.speech}"\ntext-model = "{trained.text}"\ndevice = "cpu"\n'
    (tmp_path / "mer.toml").write_text(settings + "[align]\nworkers = 1\n[extract]\nworkers = 1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_five_commands_lead_to_a_results_table_and_to_answers(folder: Path) -> None:
    assert [command.split()[1] for command in COMMANDS] == ["doctor", "align", "extract", "train-head", "predict"]
    invoke: Callable[..., Any] = CliRunner().invoke
    outputs = {}
    for command in COMMANDS:
        words = [found for word in shlex.split(command)[1:] for found in (map(str, Path().glob(word)) if "*" in word else [word])]
        result = invoke(app, words)
        # A synthesiser's speech is not what the aligner was trained on: some of it fails, is listed, and goes on.
        assert result.exit_code in ((0, 1) if words[0] == "align" else (0,)), f"{command}\n{result.output}"
        outputs[words[0]] = result.stdout
    aligned = re.search(r"(\d+) of 27 utterances aligned", outputs["align"])
    assert aligned is not None
    assert int(aligned[1]) >= 20
    assert "UA" in outputs["train-head"]
    assert "late F+S+T" in outputs["train-head"]
    for name in ("clip", "other", "angry", "happy", "sad", "mean over 15 runs"):
        assert name in outputs["predict"]
    (run,) = (folder / "runs").iterdir()
    spec = json.loads((run / "result.json").read_text())["features"]
    assert spec["segments"]["alignment"] == "textgrid"
