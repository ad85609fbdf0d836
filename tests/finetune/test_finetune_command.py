"""`mer finetune` and fine-tuned grids as a person meets them."""

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from mer.cli import app
from mer.commands.console import clear_errors
from mer.commands.finetune import step_lines
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.events import StepDone

NarrowConfig = Callable[..., FinetuneConfig]
run = CliRunner().invoke

TEXTS = ("i am so happy that you came", "leave me alone", "we lost it all", "the bus leaves at noon")
LABELS = ("ang", "hap", "sad", "neu")
QUICK = ["--folds", "1", "--seeds", "1", "--epochs", "1", "--batch-seconds", "5", "--device", "cpu"]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, narrow_config: NarrowConfig) -> list[str]:
    """A manifest of noise, three sessions of eight utterances, and encoders of two layers."""
    folder = tmp_path_factory.mktemp("manifest")
    rows = []
    for number in range(24):
        noise = np.random.default_rng(number).normal(0.0, 0.1, 1_600 + 100 * number).astype(np.float32)
        soundfile.write(folder / f"{number}.wav", noise, 16_000)
        session = str(number // 8 + 1)
        rows.append(
            {
                "id": f"u{number:02d}",
                "wav": f"{number}.wav",
                "text": TEXTS[number % 4],
                "label": LABELS[number % 4],
                "speaker": session + "FM"[number % 2],
                "session": session,
            }
        )
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = narrow_config()
    models = ["--speech-model", config.speech_model, "--text-model", config.text_model]
    return ["--corpus", str(folder / "own.jsonl"), *models, *QUICK]


def finetune(given: list[str], runs: Path, *arguments: str) -> Any:
    return run(app, ["finetune", *given, "--runs", str(runs), *arguments])


def test_a_result_is_printed_for_people_and_for_programs(given: list[str], tmp_path: Path) -> None:
    shown = finetune(given, tmp_path, "--aux", "1+2", "--max-seconds", "0.2", "--classes", "4")
    assert shown.exit_code == 0, shown.output
    assert "CA K=1 + aux 1+2" in shown.stdout
    assert "mean of the class recalls" in shown.stdout
    # 1,600 + 100 n samples are longer than 0.2 s for n from 17 to 23.
    assert "7 cut at 0.2 s" in " ".join(shown.stdout.split())
    assert "1 runs of 1 epochs on cpu; 24 utterances, 0.0 h of audio, 7 cut at --max-seconds" in shown.stderr
    again = finetune(given, tmp_path, "--aux", "1+2", "--max-seconds", "0.2", "--classes", "4", "--json", "--keep", "3")
    (values,) = json.loads(again.stdout)["results"]
    assert "already trained with these settings" in again.stderr
    assert values["summary"]["runs"] == 1
    assert f"{100 * values['summary']['all']['ua']['mean_of_folds']:.2f}" in shown.stdout
    assert values["config"]["max_seconds"] == 0.2
    assert (Path(values["directory"]) / "weights" / "fold1-seed0" / "model.safetensors").is_file()


def test_other_transcripts_are_another_result_and_told(given: list[str], tmp_path: Path) -> None:
    table = tmp_path / "heard.csv"
    table.write_text("id,text\n" + "".join(f"u{number:02d},what {TEXTS[number % 3]}\n" for number in range(24)))
    made = []
    for more in ([], ["--texts", str(table)]):
        done = finetune(given, tmp_path / "runs", "--modality", "text", "--json", "-q", *more)
        assert done.exit_code == 0, done.output
        made.append(json.loads(done.stdout)["results"][0])
    assert made[0]["directory"] != made[1]["directory"]
    assert made[1]["name"] == f"{made[0]['name']}, texts of heard.csv"
    result = json.loads((Path(made[1]["directory"]) / "result.json").read_text())
    assert result["transcripts"]["file"] == "heard.csv"
    refused = finetune(given, tmp_path / "runs", "--modality", "speech", "--texts", str(table))
    assert refused.exit_code == 2
    assert "modality speech reads no transcript" in refused.stderr


def test_every_option_reaches_the_config(given: list[str], tmp_path: Path) -> None:
    options = {
        "fusion-layers": 2, "dropout": 0.2, "encoder-rate": 0.001, "fusion-rate": 0.002, "weight-decay": 0.03, "warmup": 0.2,
        "batch": 7, "clip": 0.5, "max-seconds": 9.0, "text-tags": "keep", "epoch-selection": "last", "validation": "session",
        "dtype": "float32", "keep": 2, "reader-threads": 1, "checkpoint-minutes": 3.0, "aux": "2",
    }  # fmt: skip
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    flags = ["gradient-checkpointing", "train-cnn"]
    fields = {"dtype": "precision", "reader-threads": "workers", "gradient-checkpointing": "checkpointing"}
    result = finetune(given, tmp_path, *arguments, *(f"--{flag}" for flag in flags), "--aux-weights", "1,0.5", "--json", "-q")
    assert result.exit_code == 0, result.output
    assert result.stderr.strip() == ""  # transformers 5.0 ends a line that it does not begin
    config = json.loads(result.stdout)["results"][0]["config"]
    for name, value in (options | dict.fromkeys(flags, True)).items():
        assert config[fields.get(name, name.replace("-", "_"))] == value
    assert config["aux_weights"] == [1.0, 0.5]
    assert (config["epochs"], config["batch_seconds"], config["seeds"], config["folds"]) == (1, 5.0, [0], ["1"])
    assert config["classes"] == "as-is"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fusion-layers", "0"], "--fusion-layers"),
        (["--aux", "1", "--modality", "text"], "both auxiliary tasks recombine audio with text"),
        (["--aux", "1+2", "--batch", "1"], "it needs at least 2; use a larger batch"),
        (["--aux", "3"], "aux '3': expected one of none, 1, 2, 1+2"),
        (["--aux-weights", "1"], "expected two numbers such as 1,0.5"),
        (["--folds", "9"], "no session 9 to test on, only 1, 2, 3"),
        (["--session", "9"], "9"),
        (["--track", "wandbb"], "track 'wandbb' (did you mean 'wandb'?): expected one of tensorboard, wandb, mlflow"),
        (["--classes", "7"], "4, 4-noexc, 5, 6, as-is"),
        (["--device", "tpu"], "expected auto, cpu, cuda, cuda:N or mps"),
        (["--speech-model", "nowhere/nothing"], "--speech-model DIR"),
        (["--epoch-selection", "test"], "epoch_selection 'test': expected one of validation, last"),
        (["--validation", "test"], "validation 'test': expected one of random, session, group, none"),
        (["--validation-share", "1"], "validation_share must lie in [0, 1), got 1.0"),
        (["--validation", "none", "--epoch-selection", "validation"], "nothing is held out that could choose an epoch"),
        (["--validation-share", "0", "--epoch-selection", "validation"], "the test session never does"),
        (["--validation", "session", "--validation-share", "0"], "a whole session is held out, whatever the share"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_exit_2(
    arguments: list[str], message: str, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = finetune(given, tmp_path, *arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.replace("│", "").split())
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_named_and_the_exit_code_is_1(given: list[str], tmp_path: Path) -> None:
    manifest = Path(given[1])
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    for number in (3, 9):
        rows[number]["wav"] = f"lost-{number}.wav"
    damaged = manifest.with_name("damaged.jsonl")
    damaged.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = finetune(["--corpus", str(damaged), *given[2:]], tmp_path, "--modality", "speech")
    assert result.exit_code == 1, result.output
    assert "left out: u03: " in result.stderr
    told = " ".join(result.stdout.split())
    assert "(of 22)" in told
    assert "without 2 that cannot be read" in told


def test_a_grid_of_the_paper_on_another_corpus_says_what_differs_and_prints_no_figure(given: list[str], tmp_path: Path) -> None:
    result = run(app, ["grid", "sun2023-table2", *given, "--classes", "4", "--runs", str(tmp_path), "--no-weights"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "no figure of Sun 2023, table 2 beside it, differs in: corpus, n, folds, speech model, text model" in said
    for figure in ("78.34", "79.59", "78.42", "79.71"):
        assert figure not in said
    assert [line.partition(": UA")[0] for line in result.stderr.splitlines() if ": UA" in line] == [
        "1/3 K = 1", "2/3 K = 2", "3/3 K = 3",
    ]  # fmt: skip
    again = run(app, ["grid", "sun2023-table2", *given, "--classes", "4", "--runs", str(tmp_path), "--no-weights", "--json"])
    rows = json.loads(again.stdout)["rows"]
    assert [(row["published_wa"], row["paper_wa"], row["setup"] is None) for row in rows] == [
        (None, None, False), (None, None, False), (None, None, True),
    ]  # fmt: skip
    assert again.stderr.count("finished before") == 3
    assert list(tmp_path.glob("*/weights/*")) == []


@pytest.mark.parametrize(
    ("grid", "option"),
    [
        ("sun2023-table1", ["--max-epochs", "3"]),
        ("sun2023-table1", ["--device-memory", "3"]),
        ("zhao2022-table1", ["--epochs", "3"]),
        ("sun2023-table1", ["--allow-missing-segments"]),
        ("zhao2022-table1", ["--revision", "text=main"]),
    ],
)
def test_an_option_of_another_kind_of_grid_is_refused(grid: str, option: list[str], tmp_path: Path) -> None:
    result = run(app, ["grid", grid, *option, "--runs", str(tmp_path), "--cache", str(tmp_path)])
    assert result.exit_code == 2
    assert f"Invalid value for {option[0]}: is for grids of kind" in " ".join(result.stderr.replace("│", "").split())


def test_a_settings_file_for_one_kind_of_grid_leaves_the_other_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = "[grid]\nmax-epochs = 3\nepochs = 2\nallow-missing-segments = true\nrevision = ['text=main']\n"
    (tmp_path / "mer.toml").write_text(settings)
    monkeypatch.chdir(tmp_path)
    found = {grid: run(app, ["grid", grid]) for grid in ("sun2023-table1", "zhao2022-table1")}
    assert [each.exit_code for each in found.values()] == [2, 2]
    assert "IEMOCAP_full_release" in found["sun2023-table1"].stderr
    assert "features" in found["zhao2022-table1"].stderr


def test_faults_of_a_fine_tuned_grid_are_told_with_their_lines(given: list[str], tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[grid]\nkind = "finetune"\n[[rows]]\naux = "4"\n[[rows]]\nfusion_layer = 2\n[[rows]]\nepochs = "x"\n')
    result = run(app, ["grid", str(file), *given, "--runs", str(tmp_path / "runs")])
    assert result.exit_code == 2
    assert f"{file}:4: unknown aux '4': expected one of none, 1, 2, 1+2" in result.stderr
    assert f"{file}:6: unknown option 'fusion_layer' (did you mean 'fusion_layers'?)" in result.stderr
    assert f"{file}:8: epochs must be a whole number, got 'x'" in result.stderr
    file.write_text('[grid]\nkind = "heds"\n[[rows]]\n')
    assert f"{file}:2: kind must be 'heads' or 'finetune', got 'heds'" in run(app, ["grid", str(file), *given]).stderr


def test_the_lines_below_the_bar_fit_a_narrow_terminal() -> None:
    step = StepDone(
        fold="5", seed=4, epoch=20, epochs=20, step=138, steps=138, loss=3.9512, main_loss=0.9149, aux1_loss=2.1651,
        aux2_loss=0.8712, lonely_share=0.0123, unchanged_share=0.0321, same_class_share=0.2789, gradient_norm=1.0,
        rate_factor=0.5, audio_seconds_per_second=1234.5,
        memory=78_900_000_000, seconds_left=60.0,
    )  # fmt: skip
    place, losses, pairs = step_lines(step)
    assert place == "fold 5 seed 4, epoch 20/20, step 138/138; 1234 s audio/s, 78.9 GB"
    assert losses == "loss 3.951: emotion 0.915, aux1 2.165, aux2 0.871"
    assert pairs == "pairs: same class 28 %, unchanged 3 %, without partner 1 %"
    assert max(len(place), len(losses), len(pairs)) <= 78
    none = replace(step, aux1_loss=None, aux2_loss=None, lonely_share=None, unchanged_share=None, same_class_share=None)
    assert step_lines(none)[1:] == ("loss 3.951: emotion 0.915",)


def test_other_processes_say_only_what_they_alone_know(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import typer

    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    for process, note, said in ((0, None, "error: no\n"), (1, None, ""), (1, "here", "error in process 1: no\n")):
        problem = FinetuneError("no")
        if note:
            problem.add_note(note)
        with pytest.raises(typer.Exit), clear_errors(process=process):
            raise problem
        assert capsys.readouterr().err == said
    assert len(waits) == 1


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_two_processes_give_the_result_of_one_and_speak_with_one_voice(launcher: str, given: list[str], tmp_path: Path) -> None:
    scripts = Path(sysconfig.get_path("scripts"))
    start = {
        "torchrun": [str(scripts / "torchrun"), "--nproc_per_node", "2"],
        "accelerate": [str(scripts / "accelerate"), "launch", "--multi_gpu", "--num_processes", "2"],
    }[launcher]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    arguments = ["-m", "mer.cli", "finetune", *given, "--aux", "1+2", "--batch", "8", "--json"]
    results = []
    for command, runs in (([sys.executable], "one"), (start, "two")):
        done = subprocess.run(
            [*command, *arguments, "--runs", str(tmp_path / runs)], capture_output=True, text=True, env=environment, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("1 runs of 1 epochs") == 1
        results += json.loads(done.stdout)["results"]
    one, two = results
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["summary"]["all"]["ua"] == pytest.approx(two["summary"]["all"]["ua"])
    assert len(list((tmp_path / "two").glob("*/weights/*"))) == 1
