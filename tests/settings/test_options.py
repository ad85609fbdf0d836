"""An option is declared once: what a config's field says is what commands, grid files, settings and docs have."""

import dataclasses
import json
import math
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from mer.cli import app
from mer.commands.align import WhatIsAligned
from mer.commands.backend_options import AnyBackend, CpuBackend
from mer.commands.command_group import NAMES, load, summary
from mer.commands.defaults import command_options
from mer.commands.demo import Demo
from mer.commands.export import WhatIsWritten
from mer.commands.extract import WhatIsExtracted
from mer.commands.finetune import WhereModelsGo
from mer.commands.grid import OF_ALL, OF_KIND, GridExtras, GridFiles
from mer.commands.option_docs import with_tables
from mer.commands.predict import WhatIsAnswered, WhichRuns
from mer.commands.report import WhatIsReported
from mer.commands.synth import Spoken
from mer.corpus.aligner import AlignerOptions
from mer.extract.config import ExtractConfig, ExtractError, Resources
from mer.finetune.config import FinetuneConfig
from mer.grids.finetune_grid import FINETUNE_GRIDS
from mer.grids.grid_file import read_grid
from mer.grids.grid_kind import FINETUNE, HEAD_GRIDS, HEADS, GridKind
from mer.heads.config import HeadConfig, head_config
from mer.heads.errors import HeadError
from mer.settings.option import Option, by_name, option, options_of, problems_of

ROOT = Path(__file__).parents[2]
HOMES: list[tuple[str, type, GridKind[Any] | None]] = [
    ("train-head", HeadConfig, HEAD_GRIDS),
    ("finetune", FinetuneConfig, FINETUNE_GRIDS),
    ("finetune", WhereModelsGo, None),
    ("extract", ExtractConfig, None),
    ("extract", WhatIsExtracted, None),
    ("extract", Resources, None),
    ("extract", AnyBackend, None),
    ("extract", AlignerOptions, None),
    ("align", WhatIsAligned, None),
    ("align", CpuBackend, None),
    ("align", AlignerOptions, None),
    ("grid", GridFiles, None),
    ("grid", GridExtras, None),
    ("grid", AnyBackend, None),
    ("predict", WhichRuns, None),
    ("predict", WhatIsAnswered, None),
    ("predict", AlignerOptions, None),
    ("export", WhichRuns, None),
    ("export", WhatIsWritten, None),
    ("demo", Demo, None),
    ("report", WhatIsReported, None),
    ("synth", Spoken, None),
]
TYPED_BY_HAND = {
    "train-head": {"cache", "runs", "allow_missing_segments", "show_layers"},
    "finetune": {"revision"},
    "extract": {"revision", "drop_fillers"},
    "grid": {"name", "list_presets", "revision"},
    "predict": {"run", "recordings"},
    "export": {"run", "folder"},
    "report": {"runs", "compare"},
    "synth": {"folder"},
}
"""Arguments, and options that no field says; beside these `--json` and `--quiet`."""
OPTIONS = [
    pytest.param(command, field, option, kind, id=f"{command} {option.name}")
    for command, config, kind in HOMES
    for field, option in options_of(config).items()
]
COMMANDS = {command for command, _, _ in HOMES}
PARAMETERS: dict[str, dict[str, Any]] = {
    command: {each.name: each for each in get_command(app).commands[command].params}  # type: ignore[attr-defined]
    for command in COMMANDS
}
SETTINGS = command_options(get_command(app))
DOCS = {
    command: (ROOT / "docs" / "cli.md").read_text("utf-8").split(f"## `mer {command}`")[1].split("\n## ")[0]
    for command in COMMANDS
}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_of_a_command_is_declared(command: str) -> None:
    declared = {name for home, config, _ in HOMES if home == command for name in by_name(options_of(config))}
    if command == "grid":
        declared |= set(by_name({**OF_ALL, **OF_KIND[HEADS], **OF_KIND[FINETUNE]}))
    typed = {*TYPED_BY_HAND.get(command, ()), "as_json", "quiet"}
    assert PARAMETERS[command].keys() - {"help"} == declared | typed


# Sizes of batches and shards are no options.
@pytest.mark.parametrize("config", dict.fromkeys(config for _, config, _ in HOMES if config is not Resources))
def test_every_field_of_a_config_is_an_option(config: type) -> None:
    assert [*options_of(config)] == [each.name for each in dataclasses.fields(config)]


@pytest.mark.parametrize(("command", "field", "option", "kind"), OPTIONS)
def test_an_option_is_on_the_command_line_in_grid_files_settings_and_docs(
    command: str, field: str, option: Option, kind: GridKind[Any] | None
) -> None:
    parameter = PARAMETERS[command][option.name]
    assert parameter.help.startswith(option.help)
    assert option.name in SETTINGS[command]
    assert re.search(rf"^\* `--{option.name.replace('_', '-')}\b", DOCS[command], re.MULTILINE)
    for old in option.was:
        assert PARAMETERS[command][old].hidden
    for name in (option.name, *option.was):
        assert kind is None or kind.options.field(name) == field


def test_grid_files_have_no_other_options() -> None:
    for _, config, kind in HOMES[:2]:
        assert kind is not None
        assert {kind.options.field(name) for name in kind.options.names()} == set(options_of(config))


def test_the_tables_of_the_documentation_are_what_the_configs_declare() -> None:
    """Made by: python -m mer.commands.option_docs docs."""
    page = (ROOT / "docs" / "grids.md").read_text("utf-8")
    assert "<!-- options of heads -->\n|" in page
    assert with_tables(page) == page


def test_identities_are_those_of_before() -> None:
    made = runpy.run_path(str(ROOT / "tests" / "data" / "make_identities.py"))["identities"]()
    assert json.loads(json.dumps(made)) == json.loads((ROOT / "tests" / "data" / "identities.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("written", "seeds"),
    [("3", (0, 1, 2)), (3, (0, 1, 2)), ("0,2,5", (0, 2, 5)), ([0, 2], (0, 2)), ("7,", (7,)), ("2-4", (2, 3, 4))],
)
def test_seeds_are_a_count_or_a_list(written: object, seeds: tuple[int, ...]) -> None:
    assert options_of(HeadConfig)["seeds"].read(written) == seeds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbers:
    whole: int = option(1, "", least=1)
    share: float = option(0.5, "", above=0, below=1)
    part: float = option(0.0, "", least=0, below=1)
    size: float | None = option(None, "", above=0)
    any: float = option(0.0, "")
    word: str = option("a", "", choices=("abc", "def"))


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({}, []),  # the default of `word` is no valid word, and right: nobody has given it
        ({"whole": 0, "share": 0.0}, ["whole must be 1 or more, got 0", "share must lie between 0 and 1, got 0.0"]),
        ({"share": 1.0, "part": 1.0}, ["share must lie between 0 and 1, got 1.0", "part must lie in [0, 1), got 1.0"]),
        ({"size": 0.0, "any": math.inf}, ["size must be positive, got 0.0", "any must be a number, got inf"]),
        ({"part": math.nan}, ["part must lie in [0, 1), got nan"]),
        ({"word": "abd"}, ["unknown word 'abd' (did you mean 'abc'?): expected one of abc, def"]),
        ({"word": "abc:def"}, ["unknown word 'abc:def' (did you mean 'def'?): expected one of abc, def"]),
        ({"whole": 7, "share": 0.9, "part": 0.9, "size": 1e-9, "word": "def"}, []),
    ],
)
def test_what_a_declaration_says_of_values_is_checked_in_one_place(fields: dict[str, Any], problems: list[str]) -> None:
    assert list(problems_of(Numbers(**fields))) == problems


def test_an_extraction_puts_its_units_in_order_and_tells_all_faults() -> None:
    config = ExtractConfig(granularities=("T", "S", "F"), layers=(12, 3))
    assert (config.granularities, config.layers) == (("F", "S", "T"), (3, 12))
    with pytest.raises(ExtractError, match=r"unknown dtype 'int8'.*; granularity F\+X\+F: .*F\+P\+S\+W\+T; .*names one twice"):
        ExtractConfig(dtype="int8", granularities=("F", "X", "F"))


@pytest.mark.parametrize(
    ("arguments", "expected", "note"),
    [
        ([], ExtractConfig(), ""),
        (["--granularity", " t + f", "--layers", "6,1-2"], ExtractConfig(granularities=("F", "T"), layers=(1, 2, 6)), ""),
        (["--fillers", "drop", "--revision", "text=v1"], ExtractConfig(fillers="drop", text_revision="v1"), ""),
        (
            ["--drop-fillers", "--speech-revision", "v2"],
            ExtractConfig(fillers="drop", speech_revision="v2"),
            "--fillers drop now",
        ),
    ],
)
def test_the_command_makes_the_config_of_an_extraction(
    arguments: list[str], expected: ExtractConfig, note: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = []

    def stop(corpus: object, config: ExtractConfig, quiet: bool) -> None:
        made.append(config)
        raise ExtractError("enough")

    monkeypatch.setattr("mer.commands.extract.find_corpus", lambda *given: None)
    monkeypatch.setattr("mer.commands.extract.warn_of_missing_tiers", stop)
    result = CliRunner().invoke(app, ["extract", "--cache", str(tmp_path), "--device", "cpu", *arguments])
    assert (result.exit_code, made) == (2, [expected]), result.output
    assert note in result.stderr


def test_text_can_be_named_among_granularities(tmp_path: Path) -> None:
    assert head_config(granularities=("F", "S", "T")) == HeadConfig(granularities=("F", "S"))
    assert head_config(granularities=("T",), fusion="linear").branches == ("T",)
    file = tmp_path / "levels.toml"
    file.write_text("[[rows]]\nfusion = 'multi-level'\ncoattention = 'F+T'\nlate = 'F+S+T'\n[[rows]]\ngranularity = 'F+S+T'\n")
    levels, late = read_grid(str(file)).rows
    assert [each.granularities for each in (*levels.configs, *late.configs)] == [("F",), ("F", "S"), ("F", "S")]
    with pytest.raises(HeadError, match="granularity T is text"):
        head_config(granularities=("F", "T"), modality="speech")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train-head", "--fusion", "lat"], "did you mean 'late'?"),
        (["train-head", "--attention-layers", "2"], "does not use it"),
        (["train-head", "--ram-gib", "1", "--hidden", "0"], "--hidden"),
        (["finetune", "--precision", "float32", "--aux", "3"], "none, 1, 2, 1+2"),
        (["finetune", "--modality", "text", "--fusion-layers", "2"], "does not use it"),
    ],
)
def test_a_wrong_option_is_refused_without_pytorch(arguments: list[str], said: str) -> None:
    code = "import sys; from mer.cli import app\ntry: app(sys.argv[1:])\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert said in re.sub(r"[\s│]+", " ", done.stderr)


@pytest.mark.parametrize("arguments", [["--help"], ["grid", "--list"]])
def test_help_and_lists_need_neither_pytorch_nor_numpy_nor_other_commands(arguments: list[str]) -> None:
    unwanted = {"torch", "numpy", "mer.commands.demo", "mer.commands.extract", "mer.report"}
    code = f"import sys; from mer.cli import app\ntry: app(sys.argv[1:])\nfinally: assert not {unwanted!r} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=True)


def test_help_of_all_says_of_each_command_what_it_says_itself() -> None:
    said = {name: summary(name) for name in NAMES}
    assert said == {name: load(name).help.split("\n\n")[0] for name in NAMES}
    assert list(get_command(app).commands) == [*NAMES]  # type: ignore[attr-defined]
    assert "No such command 'grit'" in CliRunner().invoke(app, ["grit"]).stderr
