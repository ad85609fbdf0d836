from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mer.finetune.config import FinetuneConfig
from mer.finetune.run import row_name
from mer.heads import HeadConfig
from mer.results.row_names import DEFAULTS, NUMBER_FREE, NamedRow, head_name, name_beside, ranges, row_names
from mer.settings.option import number_free

PLAIN: dict[str, Any] = {**HeadConfig().as_dict()}
FEATURES = {"speech": {"model": "facebook/wav2vec2-base", "revision": "a", "weights_sha256": "aa", "layers": [1, 2]}}


def row(folder: str = "runs/one", *, name: str | None = None, result: dict[str, Any] | None = None, **options: Any) -> NamedRow:
    branches = options.pop("branches", ["F", "S", "T"])
    made = {"config": {**PLAIN, **options}, "branches": branches, "features": FEATURES, "utterances": {"used": 8}}
    return NamedRow(directory=Path(folder), result=made | (result or {}), name=name)


@pytest.mark.parametrize("name", DEFAULTS)
def test_what_goes_without_saying_is_the_default(name: str) -> None:
    configs = [each for each in (HeadConfig(), FinetuneConfig()) if hasattr(each, name)]
    assert configs
    # Heads and fine-tuning share names whose defaults differ, such as attention_heads: heads have many rows of one name.
    default = getattr(configs[0], name)
    assert (list(default) if isinstance(default, tuple) else default) == DEFAULTS[name]  # as JSON has it


def test_what_changes_no_number_is_what_the_configs_say() -> None:
    assert number_free(HeadConfig) | number_free(FinetuneConfig) == NUMBER_FREE


@pytest.mark.parametrize(
    ("others", "names"),
    [
        ([{"text_disjoint": True}], ["", ", text-disjoint"]),
        ([{"hidden": 256}], ["", ", hidden 256"]),
        ([{"seeds": [0, 1]}], [", seeds 5", ", seeds 2"]),
        ([{"seeds": [0, 1]}, {"seeds": [0, 1], "hidden": 256}], [", seeds 5", "", ", hidden 256"]),
        ([{"seeds": [3, 8, 9, 1, 2]}], [", seeds 5", ", seeds 3/8/9/1/2"]),
        ([{"folds": ["1", "2"]}], ["", ", folds 1-2"]),
        ([{"validation": "session", "dropout": 0.5}], [", dropout 0.2", ", validation session, dropout 0.5"]),
        ([{"device": "cuda", "stack": 3, "ram_gib": 1.0}], [" (one)", " (two)"]),
        ([{"learning_rate": 0.01}] * 1 + [{}], [" (one)", ", learning rate 0.01", " (three)"]),
    ],
)
def test_rows_of_one_head_say_what_differs(others: list[dict[str, Any]], names: list[str]) -> None:
    folders = ["runs/one", "runs/two", "runs/three"]
    rows = [row(folder, **options) for folder, options in zip(folders, [{}, *others], strict=False)]
    found = row_names(rows)
    assert [sorted(name.removeprefix("late F+S+T").lstrip(", ").split(", ")) for name in found] == [
        sorted(name.lstrip(", ").split(", ")) for name in names
    ]


def test_neither_of_two_normalisations_goes_without_saying() -> None:
    found = row_names([row(normalize="global"), row(normalize="none")])
    assert found == ["late F+S+T, normalize global", "late F+S+T, normalize none"]


def test_encoders_layers_and_data_are_differences_too() -> None:
    wavlm = {"speech": {"model": "microsoft/wavlm-large", "revision": "b", "weights_sha256": "bb", "layers": [1, 2]}}
    rows = [row(), row(), row(result={"features": wavlm, "layers": {"F": [9, 10, 11, 12], "T": [9, 10, 11, 12]}})]
    rows = [rows[0], row("runs/two", hidden=64), rows[2]]
    assert row_names(rows) == ["late F+S+T", "late F+S+T, hidden 64", "late F+S+T, wavlm-large"]
    layers = [row(result={"layers": {"F": [*range(1, 13)]}}), row(result={"layers": {"F": [9, 10, 11, 12]}})]
    assert row_names(layers) == ["late F+S+T, layers 1-12", "late F+S+T, layers 9-12"]
    assert row_names([row(), row(result={"utterances": {"used": 16}})]) == ["late F+S+T, n 8", "late F+S+T, n 16"]
    tuned = {"speech": {**FEATURES["speech"], "revision": "b", "weights_sha256": "bb"}}
    assert row_names([row(), row(), row(result={"features": tuned})])[2] == "late F+S+T, speech revision b"


def test_other_heads_and_tables_have_names_of_their_own() -> None:
    rows = [row(), row(fusion="coattention"), row(hidden=256)]
    assert row_names(rows, ["a", "a", "b"]) == ["late F+S+T", "coattention F+S+T", "late F+S+T"]


def test_names_of_a_grid_stay_where_they_are_of_one_row() -> None:
    assert row_names([row(name="mine"), row(), row(hidden=256)]) == ["mine", "late F+S+T", "late F+S+T, hidden 256"]
    assert row_names([row(name="mine"), row(name="mine", hidden=256)]) == ["mine", "mine, hidden 256"]


def test_rows_that_differ_in_nothing_but_their_place_get_the_end_of_it_that_differs() -> None:
    assert row_names([row("a/x"), row("b/x")]) == ["late F+S+T (a/x)", "late F+S+T (b/x)"]


def test_a_multi_level_row_says_which_head_has_which_granularities() -> None:
    heads = {"coattention": {"branches": ["F", "P", "T"]}, "late": {"branches": ["F", "S", "T"]}}
    config = {"fusion": "multi-level", "granularities": ["F", "P", "S"]}
    of_before = NamedRow(directory=Path("x"), asked={"config": {"fusion": "multi-level", **heads}}, result={"config": config})
    now = NamedRow(directory=Path("x"), result={"config": config, "heads": heads})
    waiting = NamedRow(directory=Path("x"), asked={"config": {"fusion": "multi-level", **heads}})
    assert {head_name(each) for each in (of_before, now, waiting)} == {"multi-level coattention F+P + late F+S"}


@pytest.mark.parametrize(
    "options", [{}, {"fusion_layers": 2, "aux": "1+2"}, {"fusion": "fc"}, {"modality": "text"}, {"modality": "speech"}]
)
def test_a_fine_tuned_row_is_called_alike_with_and_without_a_result(options: dict[str, Any]) -> None:
    config = FinetuneConfig(**options)
    assert head_name(NamedRow(directory=Path("x"), asked={"config": config.identity()})) == row_name(config)


def test_an_unfinished_run_is_named_by_what_it_was_asked_for() -> None:
    asked = [{"config": HeadConfig(hidden=hidden).identity(), "cache_key": "0" * 64} for hidden in (128, 256)]
    rows = [NamedRow(directory=Path(str(place)), asked=each) for place, each in enumerate(asked)]
    assert row_names([*rows, row()]) == ["late F+S+T (0)", "late F+S+T, hidden 256", "late F+S+T (one)"]


def test_the_name_beside_other_runs_is_found_from_files(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    one = make_run(tmp_path / "tiny-linear-T-1", {("1", 0): "aasa", ("2", 0): "aass"})
    assert name_beside(one) == "linear T"
    make_run(tmp_path / "tiny-linear-T-2", {("1", 0): "aasa", ("2", 0): "aass"}, finished=False)
    (tmp_path / "tiny-linear-T-3").mkdir()
    (tmp_path / "tiny-linear-T-3" / "config.json").write_text("{torn")
    assert name_beside(one) == "linear T (tiny-linear-T-1)"


def test_whole_numbers_are_told_as_ranges() -> None:
    assert [ranges(each) for each in ([1, 2, 3, 6], ["1", "x"], [4], [])] == ["1-3,6", "1,x", "4", ""]
