"""The commands as a person meets them: help, documentation, errors, exit codes."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import mer
from mer.cli import app
from mer.commands.defaults import command_options

ROOT = Path(__file__).parent.parent
GROUP: Any = get_command(app)
COMMANDS = sorted(command_options(GROUP))

run = CliRunner().invoke


def command_called(name: str) -> Any:
    found = GROUP
    for part in name.split():
        found = found.commands[part]
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help_and_is_in_the_docs(name: str) -> None:
    command = command_called(name)
    assert command.help
    assert [p.name for p in command.params if not getattr(p, "help", None)] == []
    assert f"## `mer {name}`" in (ROOT / "docs" / "cli.md").read_text()
    assert f"`mer {name}" in (ROOT / "README.md").read_text()


def test_the_command_reference_is_what_the_commands_say() -> None:
    """Made by: python -m typer mer.cli utils docs --name mer --output docs/cli.md."""
    made = subprocess.run(
        [sys.executable, "-m", "typer", "mer.cli", "utils", "docs", "--name", "mer"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.strip() == (ROOT / "docs" / "cli.md").read_text().strip()


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if {"corpus", "recordings"} & {p.name for p in command_called(name).params}]
)
def test_wherever_a_corpus_is_read_its_audio_may_lie_elsewhere_and_its_table_be_in_another_encoding(name: str) -> None:
    assert {"audio_root", "encoding"} <= {p.name for p in command_called(name).params}


@pytest.mark.parametrize("words", [["evaluate", "runs/none"], ["grid", "sun2023-table1"], ["finetune"], ["extract"], ["align"]])
def test_audio_root_and_encoding_reach_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    import mer.corpus

    def told(path: Path, **options: object) -> None:
        raise mer.corpus.CorpusError(f"{path.name} {options['audio_root']} {options['encoding']}")

    monkeypatch.setattr(mer.corpus, "open_corpus", told)
    (tmp_path / "t.csv").touch()
    done = run(app, [*words, "--corpus", str(tmp_path / "t.csv"), "--audio-root", "disk", "--encoding", "cp1252"])
    assert (done.exit_code, "t.csv disk cp1252" in done.output) == (2, True), done.output


@pytest.mark.parametrize("arguments", [["--help"], ["extract", "--help"], ["train-head", "--help"]])
def test_help_does_not_wait_for_torch(arguments: list[str]) -> None:
    code = f"import sys; from typer.testing import CliRunner; from mer.cli import app; r = CliRunner().invoke(app, {arguments}); "
    code += "assert r.exit_code == 0, r.output; print(sorted({'torch', 'transformers', 'h5py', 'numpy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_without_a_corpus_the_error_says_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(app, ["extract"])
    assert result.exit_code == 2
    for needed in ("IEMOCAP_full_release", "Session1", "mer demo", "manifest"):
        assert needed in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extract", "--granularity", "F+X"], "X"),
        (["extract", "--layers", "12-1"], "the range '12-1' runs backwards"),
        (["extract", "--dtype", "int8"], "dtype 'int8': expected one of float32, float64, bfloat16"),
        (["extract", "--classes", "7"], "4, 4-noexc, 5, 6, as-is"),
        (["extract", "--revision", "v1"], "expected speech=REV and/or text=REV"),
        (["extract", "--device", "tpu"], "expected auto, cpu, cuda, cuda:N or mps"),
        (["extract", "--session", "9"], "9"),
        (["extract", "--speech-model", "nowhere/nothing"], "--speech-model DIR"),
        (["extract", "--workers", "0"], "--workers"),
    ],
)
def test_what_cannot_be_extracted_is_refused_with_exit_2(
    arguments: list[str], message: str, iemocap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    arguments = [*arguments, "--corpus", str(iemocap), "--cache", str(tmp_path / "features")]
    result = run(app, arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.replace("│", "").split())


@pytest.fixture(scope="session")
def iemocap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mer.corpus.synthetic import write_synthetic_corpus

    folder = tmp_path_factory.mktemp("corpora") / "IEMOCAP_synthetic"
    write_synthetic_corpus(folder, utterances=120, seed=5)
    return folder


@pytest.fixture(scope="session")
def features(
    iemocap: Path,
    speech_encoder_folder: Callable[[str], Path],
    text_encoder_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("commands") / "features"
    encoders = ["--speech-model", str(speech_encoder_folder("wav2vec2")), "--text-model", str(text_encoder_folder)]
    arguments = ["extract", "--corpus", str(iemocap), "--session", "1-5", "--cache", str(folder), *encoders]
    result = run(app, [*arguments, "--workers", "1", "--json", "--quiet"])
    data = json.loads(result.stdout)
    assert result.exit_code == (1 if data["failed"] else 0), result.output
    assert data["utterances"] > 80
    assert data["synthetic"] is True
    return folder


def test_cache_info_gives_units_and_bytes_per_granularity(features: Path) -> None:
    result = run(app, ["cache", "info", str(features), "--json"])
    info = json.loads(result.stdout)
    assert result.exit_code == 0
    assert list(info["granularities"]) == ["F", "P", "S", "W", "T"]
    rows = info["granularities"]
    assert rows["F"]["units"] > rows["P"]["units"] > rows["S"]["units"] > rows["W"]["units"] > 0
    assert all(row["bytes"] == row["units"] * len(row["layers"]) * row["dim"] * 2 for row in rows.values())
    shown = run(app, ["cache", "info", str(features)])
    assert f"{rows['S']['units']:,}" in shown.stdout


def test_cache_verify_names_the_shard_with_one_flipped_byte(features: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "features"
    shutil.copytree(features, copy)
    assert run(app, ["cache", "verify", str(copy), "--full"]).exit_code == 0
    shard = sorted(copy.glob("**/*.h5"))[2]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    result = run(app, ["cache", "verify", str(copy), "--full"])
    assert result.exit_code == 1
    assert shard.stem in result.stdout
    trained = run(app, ["train-head", "--cache", str(copy), "--runs", str(tmp_path / "runs"), "--seeds", "1"])
    assert trained.exit_code == 2
    assert shard.stem in trained.stderr


def test_a_quick_look_at_a_cache_does_not_call_it_whole(features: Path) -> None:
    quick = run(app, ["cache", "verify", str(features), "--quiet"])
    assert quick.exit_code == 0
    assert "5 shards" in quick.stdout
    assert "no file missing or cut short" in quick.stdout
    assert "whole" not in quick.stdout
    assert "whole" in run(app, ["cache", "verify", str(features), "--quiet", "--full"]).stdout


def test_a_cache_is_no_place_for_caches(features: Path, iemocap: Path) -> None:
    one = next(features.glob("*/*/spec.json")).parent
    before = sorted(one.rglob("*"))
    result = run(app, ["extract", "--corpus", str(iemocap), "--cache", str(one)])
    assert result.exit_code == 2
    shown = "".join(result.stderr.replace("│", "").split())
    assert "isonecache;givethefolderofallofthem" in shown
    assert f"{features}:thesettingsfind" in shown
    assert sorted(one.rglob("*")) == before


def test_a_manifest_that_is_not_there_is_not_taken_for_iemocap(tmp_path: Path) -> None:
    result = run(app, ["extract", "--corpus", str(tmp_path / "own.jsonl")])
    assert result.exit_code == 2
    shown = "".join(result.stderr.replace("│", "").split())
    assert "own.jsonl:nosuchfileorfolder.Expectedoneof" in shown
    looked = run(app, ["doctor", "--corpus", str(tmp_path / "own.csv"), "--json"])
    assert looked.exit_code == 1
    found = {check["name"]: check for check in json.loads(looked.stdout)["checks"]}
    assert "own.csv: no such file or folder" in found["corpus"]["found"]


def test_the_doctor_names_what_is_odd_in_a_manifest(tmp_path: Path) -> None:
    row = {"text": "hello", "label": "a", "speaker": "s", "session": "1"}
    rows = [row | {"id": f"utt{n:02d}", "wav": f"none{n}.wav"} for n in range(10)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    result = run(app, ["doctor", "--corpus", str(tmp_path / "own.jsonl")])
    assert result.exit_code == 1
    for part in ("utt00", "utt07", "and 2 more", "labels without wav 10: utt00", "will stop or spoil a run"):
        assert part in " ".join(result.stdout.split())
    assert "utt08" not in result.stdout


def test_the_counts_of_a_damaged_release_fit_a_narrow_terminal() -> None:
    from rich.console import Console

    from mer.report.tables import census_table

    labels = {"neu": 300, "frustrated": 400}
    session = {"labels": labels, "utterances": 1800, "dialogues": 27}
    expected = {"expected_labels": {"neu": 384}, "expected_utterances": 1819, "expected_dialogues": 28}
    sessions = [session | expected | {"session": str(number)} for number in range(1, 6)]
    census = {"labels": {"neu": 1500, "frustrated": 2000}, "expected_labels": {"neu": 1708, "sur": 107}, "sessions": sessions}
    console = Console(width=80)
    with console.capture() as shown:
        console.print(census_table(census))
    lines = [line.split() for line in shown.get().splitlines()]
    assert ["neu", *["300/384"] * 5, "1,500"] in lines
    assert ["/1,708"] in lines
    assert ["frustrated", *["400"] * 5, "2,000"] in lines
    assert ["sur", *["0"] * 5, "0/107"] in lines  # a class that is not there at all
    assert ["utterances", *["1,800"] * 5, "9,000"] in lines
    assert [*["/1,819"] * 5, "/9,095"] in lines


def test_train_head_prints_both_averages_and_writes_its_run(features: Path, tmp_path: Path) -> None:
    arguments = [
        "train-head",
        "--cache",
        str(features),
        "--runs",
        str(tmp_path / "runs"),
        "--folds",
        "1-2",
        "--seeds",
        "1",
    ]
    result = run(app, [*arguments, "--granularity", "F+S", "--max-epochs", "2", "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)["results"][0]
    assert values["branches"] == ["F", "S", "T"]
    assert values["summary"]["runs"] == 2
    written = json.loads((Path(values["directory"]) / "result.json").read_text())
    assert written == {key: value for key, value in values.items() if key != "directory"}
    shown = run(app, [*arguments, "--granularity", "F+S", "--max-epochs", "2"])
    assert "Synthetic speech" in shown.stdout
    assert "mean of the class recalls" in shown.stdout
    assert "already trained" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--granularity", "F+Q"], "F+P+S+W"),
        (["--fusion", "linear"], "one branch"),
        (["--fusion", "magic"], "unknown fusion 'magic'"),
        (["--modality", "smell"], "unknown modality 'smell'"),
        (["--folds", "7"], "no session 7"),
        (["--device", "abacus"], "auto, cpu or cuda"),
        (["--layers", "2-40"], "are not in the cache, which holds"),
        (["--layer-weights", "square"], "plain, softmax"),
        (["--fusion", "coattention", "--modality", "text"], "needs text and speech"),
        (["--fusion", "coattention", "--attention-heads", "7"], "7 attention heads do not divide"),
        (["--fusion", "multi-level", "--granularity", "F/Q"], "unknown granularity Q"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_exit_2(
    arguments: list[str], message: str, features: Path, tmp_path: Path
) -> None:
    result = run(app, ["train-head", "--cache", str(features), "--runs", str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("fusion", "granularity", "modality"),
    [
        ("transformer", "S", "speech"),
        ("concatenation", "F+P", "both"),
        ("coattention", "S", "both"),
        ("multi-level", "S/P+S", "both"),
    ],
)
def test_every_fusion_trains_from_the_command_line(
    features: Path, tmp_path: Path, fusion: str, granularity: str, modality: str
) -> None:
    arguments = ["--fusion", fusion, "--granularity", granularity, "--modality", modality, "--folds", "1", "--seeds", "1"]
    command = ["train-head", "--cache", str(features), "--runs", str(tmp_path), "--max-epochs", "1", *arguments]
    result = run(app, [*command, "--text-disjoint", "--layers", "6-12", "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    (values,) = json.loads(result.stdout)["results"]
    assert values["config"]["fusion"] == fusion
    assert values["summary"]["runs"] == 1
    assert values["removed_for_text"]["1"] > 0
    assert values["layers"]["S" if "S" in granularity else "F"] == list(range(6, 13))
    assert (Path(values["directory"]) / "logits.safetensors").exists()


def test_show_layers_prints_a_bar_for_each_layer_of_each_branch(features: Path, tmp_path: Path) -> None:
    command = [
        "train-head",
        "--cache",
        str(features),
        "--runs",
        str(tmp_path),
        "--seeds",
        "1",
        "--folds",
        "1",
        "--max-epochs",
        "1",
    ]
    plain, shown = run(app, command), run(app, [*command, "--show-layers"])
    assert plain.exit_code == shown.exit_code == 0
    assert "Learned share of each layer" not in plain.stdout
    assert "Learned share of each layer" in shown.stdout
    assert shown.stdout.count("█") > 12 * 3


def test_no_cache_says_how_to_make_one(tmp_path: Path) -> None:
    result = run(app, ["train-head", "--cache", str(tmp_path)])
    assert result.exit_code == 2
    assert "mer extract" in result.stderr


def test_the_doctor_counts_the_corpus_and_names_where_settings_come_from(
    iemocap: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MER_DEVICE", "cpu")
    (tmp_path / "mer.toml").write_text(f'cache = "{features}"\n[train-head]\nseeds = 2\n')
    result = run(app, ["doctor", "--corpus", str(iemocap), "--json"])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["census"]["synthetic"] is True
    sources = {(row["command"], row["option"]): row["source"] for row in data["settings"]}
    assert sources["train-head", "seeds"] == "mer.toml"
    assert sources["extract", "device"] == "environment MER_DEVICE"
    assert sources["extract", "cache"] == "mer.toml"
    assert "synthetic corpus" in run(app, ["doctor", "--corpus", str(iemocap)]).stdout


def test_the_doctor_counts_sentences_that_recur_in_other_sessions(iemocap: Path, tmp_path: Path) -> None:
    from mer.corpus import open_corpus
    from mer.protocol import normalised_text

    corpus = list(open_corpus(iemocap, labels=frozenset({"ang", "hap", "exc", "sad", "neu"})))
    expected = {}
    for session in dict.fromkeys(each.session for each in corpus):
        others = {normalised_text(each.text or "") for each in corpus if each.session != session} - {""}
        own = [normalised_text(each.text or "") for each in corpus if each.session == session]
        expected[session] = {"utterances": len(own), "recurring": sum(each in others for each in own)}
    assert any(each["recurring"] for each in expected.values())
    found = json.loads(run(app, ["doctor", "--corpus", str(iemocap), "--json"]).stdout)["recurring_sentences"]
    assert found["sessions"] == expected
    assert found["all"] == {name: sum(each[name] for each in expected.values()) for name in ("utterances", "recurring")}

    said = (("1", "Hello."), ("1", "alone"), ("2", "hello"), ("2", "[LAUGHTER]"), ("3", "other"), ("3", None))
    rows = [
        {"id": str(row), "wav": f"{row}.wav", "label": "x", "speaker": session, "session": session, "text": text}
        for row, (session, text) in enumerate(said)
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    looked = run(app, ["doctor", "--corpus", str(tmp_path / "own.jsonl"), "--json"])
    counts = {name: each["recurring"] for name, each in json.loads(looked.stdout)["recurring_sentences"]["sessions"].items()}
    assert counts == {"1": 1, "2": 1, "3": 0}
    shown = run(app, ["doctor", "--corpus", str(tmp_path / "own.jsonl")]).stdout
    assert re.search(r"session 1\s+2\s+1\s+50\.0", shown)
    assert re.search(r"all\s+6\s+2\s+33\.3", shown)
    assert json.loads(run(app, ["doctor", "--corpus", str(tmp_path / "no.csv"), "--json"]).stdout)["recurring_sentences"] is None


def test_the_doctor_names_what_a_copy_of_the_release_lacks(iemocap: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "release"
    shutil.copytree(iemocap, copy)
    (copy / "SYNTHETIC.json").unlink()
    lost = sorted(copy.glob("Session2/sentences/wav/*/*.wav"))[3]
    lost.unlink()
    result = run(app, ["doctor", "--corpus", str(copy)])
    assert result.exit_code == 1
    assert lost.stem in result.stdout
    assert "not complete" in " ".join(result.stdout.split())


def test_options_go_before_the_environment_and_that_before_the_file(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mer.toml").write_text('cache = "from-file"\n')
    assert "from-file" in run(app, ["train-head"]).stderr
    monkeypatch.setenv("MER_CACHE", "from-environment")
    assert "from-environment" in run(app, ["train-head"]).stderr
    assert "from-option" in run(app, ["train-head", "--cache", "from-option"]).stderr


def test_a_settings_file_with_unknown_keys_names_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mer.toml").write_text('cash = "x"\n[train-haed]\nseeds = 1\n[extract]\nlayer = "1"\n')
    result = run(app, ["cache", "info"])
    assert result.exit_code == 2
    for part in ("'cash' (did you mean 'cache'?)", "'train-haed' (did you mean 'train-head'?)", "'layer' in [extract]"):
        assert part in result.stderr


@pytest.mark.parametrize("content", ["cache = ", "\xff"])
def test_a_settings_file_that_is_no_toml_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(content, encoding="latin-1")
    result = run(app, ["--config", str(tmp_path / "own.toml"), "cache", "info"])
    assert result.exit_code == 2
    assert "no valid TOML" in result.stderr


def test_the_version_is_printed() -> None:
    asked = run(app, ["--version"])
    assert (asked.exit_code, asked.stdout) == (0, f"mer {mer.__version__}\n")
