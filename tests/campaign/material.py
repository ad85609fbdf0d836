"""A corpus of a dozen utterances, narrow encoders, and every command that writes something on them."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mer.corpus import open_corpus
from mer.corpus.synthetic import write_synthetic_corpus
from mer.demo.small_encoders import write_small_speech_encoder, write_small_text_encoder
from mer.tests.campaign.forked import run
from mer.tests.extract.conftest import WORDS, write_textgrid

TEXT = "happy alone noon"
TRAINING = ("--classes", "as-is", "--device", "cpu", "-q")
HEAD = ("--modality", "speech", "--granularity", "W", "--fusion", "linear", "--max-epochs", "2", "--seeds", "1")
GRID = """grid.title = "two heads"
[[rows]]
modality = "text"
fusion = "linear"
[[rows]]
modality = "speech"
fusion = "linear"
granularity = "P"
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that writes, and where."""

    name: str
    """As in the table."""
    arguments: Callable[[Path], list[str]]
    """Folder for what it writes to its arguments."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """What the commands work on; nothing of it is changed."""

    root: Path
    commands: dict[str, Command]
    corpus: Path
    speech: Path
    text: Path
    cache: Path
    """Of an extraction."""
    run: Path
    """Of a head, finished."""
    models: Path
    """Of a fine-tuned model, finished."""
    exported: Path
    """The head, exported."""


def write_material(root: Path) -> Material:
    """Write the inputs, and by the commands themselves what later commands read."""
    root.mkdir(parents=True)
    write_corpus(root / "corpus")
    write_small_speech_encoder(root / "wide" / "speech", seed=1)
    write_small_text_encoder(root / "wide" / "text", [TEXT], seed=3)
    speech, text = narrow(root / "wide" / "speech", root / "speech"), narrow(root / "wide" / "text", root / "text")
    (root / "small.toml").write_text(GRID)
    spoken = write_spoken(root / "spoken")
    corpus = root / "corpus" / "small.jsonl"
    made = {name: root / "made" / name for name in ("extract", "train-head", "other", "finetune", "export")}
    commands = commands_on(root, corpus, spoken, speech, text, made)
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name in ("extract", "train-head", "other", "finetune", "export"):
        made[name].mkdir(parents=True)
        ended = run(commands[name].arguments(made[name]), root)
        if ended.code:
            raise RuntimeError(f"mer {name} failed: {ended.err or ended.out}")
    return Material(
        root=root,
        commands={name: each for name, each in commands.items() if name != "other"},
        corpus=corpus,
        speech=speech,
        text=text,
        cache=next(made["extract"].glob("*/*")),
        run=next(made["train-head"].glob("*linear*")),
        models=next(made["finetune"].glob("*finetune*")),
        exported=made["export"] / "exported",
    )


def commands_on(root: Path, corpus: Path, spoken: Path, speech: Path, text: Path, made: dict[str, Path]) -> dict[str, Command]:
    """Every command that writes, by its name."""
    encoders = ["--speech-model", str(speech), "--text-model", str(text)]
    finetune = [
        "--epochs",
        "1",
        "--batch",
        "6",
        "--modality",
        "text",
        "--folds",
        "1,2",
        "--seeds",
        "1",
        "--checkpoint-minutes",
        "0",
    ]

    def run_of(name: str) -> str:
        return str(next(made[name].glob("*linear*")))

    found = (
        Command(
            name="extract",
            arguments=lambda to: [
                *("extract", "--corpus", str(corpus), "--cache", str(to), *encoders),
                *("--workers", "1", "--device", "cpu", "-q"),
            ],
        ),
        Command(
            name="align",
            arguments=lambda to: ["align", "--corpus", str(spoken), "--to", str(to / "grids"), "--workers", "1", "-q"],
        ),
        Command(
            name="train-head",
            arguments=lambda to: ["train-head", "--cache", str(made["extract"]), "--runs", str(to), *HEAD, *TRAINING],
        ),
        Command(
            name="other",
            arguments=lambda to: [
                *("train-head", "--cache", str(made["extract"]), "--runs", str(to), "--modality", "text", "--fusion", "linear"),
                *("--max-epochs", "1", "--seeds", "1", *TRAINING),
            ],
        ),
        Command(
            name="grid",
            arguments=lambda to: [
                *("grid", str(root / "small.toml"), "--cache", str(made["extract"]), "--runs", str(to), "--workers", "1"),
                *("--seeds", "1", "--max-epochs", "1", *TRAINING),
            ],
        ),
        Command(
            name="finetune",
            arguments=lambda to: [
                *("finetune", "--corpus", str(corpus), "--runs", str(to), *encoders, *finetune, *TRAINING),
            ],
        ),
        Command(
            name="report",
            arguments=lambda to: ["report", run_of("train-head"), run_of("other"), "--to", str(to / "report"), "-q"],
        ),
        Command(name="export", arguments=lambda to: ["export", run_of("train-head"), str(to / "exported"), *encoders[:2], "-q"]),
        Command(name="synth", arguments=lambda to: ["synth", str(to / "spoken"), "--utterances", "100", "-q"]),
        Command(
            name="predict",
            arguments=lambda to: [
                *("predict", str(made["export"] / "exported"), str(corpus.parent / "list.csv"), "--csv", str(to / "answers.csv")),
                *("--device", "cpu", "-q"),
            ],
        ),
        Command(
            name="combine",
            arguments=lambda to: [
                "combine",
                run_of("train-head"),
                run_of("other"),
                "--to",
                str(to),
                "--corpus",
                str(corpus),
                "-q",
            ],
        ),
    )
    return {each.name: each for each in found}


def write_corpus(folder: Path, count: int = 12) -> None:
    """Noise of about half a second with exact times of three words, in three sessions and two classes; and a list of three."""
    import numpy as np
    import soundfile

    folder.mkdir()
    chance = np.random.default_rng(7)
    rows = []
    for number in range(count):
        name, length = f"utt{number:02d}", float(chance.uniform(0.4, 0.6))
        soundfile.write(folder / f"{name}.wav", 0.2 * chance.normal(size=int(16_000 * length)), 16_000, subtype="PCM_16")
        write_textgrid(folder / f"{name}.TextGrid", length)
        row = {"id": name, "wav": f"{name}.wav", "text": " ".join(WORDS), "label": ("joy", "grief")[number % 2]}
        rows.append(row | {"speaker": f"s{number % 6}", "session": str(1 + number % 3), "textgrid": f"{name}.TextGrid"})
    (folder / "small.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    listed = [f"{row['wav']},{row['text']}\n" for row in rows[:3]]
    (folder / "list.csv").write_text("wav,text\n" + "".join(listed))


def write_spoken(folder: Path, count: int = 8) -> Path:
    """Some utterances of the synthetic corpus, which an aligner understands."""
    write_synthetic_corpus(folder, utterances=100, seed=7)
    rows = []
    for each in list(open_corpus(folder))[:count]:
        row = {"id": each.id, "wav": each.wav.relative_to(folder).as_posix(), "text": each.text, "label": each.label}
        rows.append(json.dumps(row | {"speaker": each.speaker, "session": each.session}) + "\n")
    (folder / "few.jsonl").write_text("".join(rows))
    return folder / "few.jsonl"


def narrow(source: Path, folder: Path) -> Path:
    """A copy with two layers."""
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text()) | {"num_hidden_layers": 2}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
