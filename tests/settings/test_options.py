"""An option is declared once: what a config's field says is what commands, grid files, settings and docs have."""

import dataclasses
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from mer.cli import app
from mer.commands.defaults import command_options
from mer.commands.option_docs import with_tables
from mer.finetune.config import FinetuneConfig
from mer.grids.finetune_grid import FINETUNE_GRIDS
from mer.grids.grid_kind import HEAD_GRIDS, GridKind
from mer.heads.config import HeadConfig, head_config
from mer.heads.errors import HeadError
from mer.settings.option import Option, options_of

ROOT = Path(__file__).parents[2]
HOMES: list[tuple[str, type, GridKind[Any]]] = [
    ("train-head", HeadConfig, HEAD_GRIDS),
    ("finetune", FinetuneConfig, FINETUNE_GRIDS),
]
OPTIONS = [
    pytest.param(command, field, option, kind, id=f"{command} {option.name}")
    for command, config, kind in HOMES
    for field, option in options_of(config).items()
]
PARAMETERS: dict[str, dict[str, Any]] = {
    command: {each.name: each for each in get_command(app).commands[command].params}  # type: ignore[attr-defined]
    for command, _, _ in HOMES
}
SETTINGS = command_options(get_command(app))
DOCS = {
    command: (ROOT / "docs" / "cli.md").read_text("utf-8").split(f"## `mer {command}`")[1].split("\n## ")[0]
    for command, _, _ in HOMES
}


@pytest.mark.parametrize(("command", "config"), [each[:2] for each in HOMES])
def test_every_field_of_a_config_is_an_option(command: str, config: type) -> None:
    assert [*options_of(config)] == [each.name for each in dataclasses.fields(config)], command


@pytest.mark.parametrize(("command", "field", "option", "kind"), OPTIONS)
def test_an_option_is_on_the_command_line_in_grid_files_settings_and_docs(
    command: str, field: str, option: Option, kind: GridKind[Any]
) -> None:
    parameter = PARAMETERS[command][option.name]
    assert parameter.help == option.help
    assert option.name in SETTINGS[command]
    assert kind.options.field(option.name) == field
    assert re.search(rf"^\* `--{option.name.replace('_', '-')}\b", DOCS[command], re.MULTILINE)
    for old in option.was:
        assert PARAMETERS[command][old].hidden
        assert kind.options.field(old) == field


def test_grid_files_have_no_other_options() -> None:
    for _, config, kind in HOMES:
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


def test_text_can_be_named_among_granularities() -> None:
    assert head_config(granularities=("F", "S", "T")) == HeadConfig(granularities=("F", "S"))
    assert head_config(granularities=("T",), fusion="linear").branches == ("T",)
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
def test_help_and_lists_need_no_pytorch(arguments: list[str]) -> None:
    code = "import sys; from mer.cli import app\ntry: app(sys.argv[1:])\nfinally: assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=True)
