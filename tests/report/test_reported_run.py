import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mer.report import ReportError, find_runs, group_runs, read_run
from mer.results.errors import ResultError
from mer.results.run_files import read_predictions

ANSWERS = {("1", 0): "aasa", ("2", 0): "aass"}
Make = Callable[..., Path]


def test_a_finished_run_is_read_whole(two_runs: Path) -> None:
    late, linear = find_runs((two_runs,))
    assert (late.name, linear.name) == ("late F+T", "linear T")
    assert (late.status, late.corpus, late.classes, late.finished) == ("done", "tiny", ("angry", "sad"), 4)
    assert len(late.predictions) == 16
    assert late.predictions[2].prediction == "angry"
    assert late.predictions[2].probabilities == (0.8, 0.2)
    assert len(late.metrics.epochs) == 12
    assert late.notes == ()


def test_a_run_is_taken_once_however_often_it_is_given(two_runs: Path) -> None:
    assert len(find_runs((two_runs, two_runs / "tiny-linear-T-11111111", two_runs))) == 2


def test_a_run_that_is_not_finished_gives_what_it_has(tmp_path: Path, make_run: Make) -> None:
    run = read_run(make_run(tmp_path / "tiny-linear-T-1", ANSWERS, finished=False))
    assert (run.status, run.corpus, run.finished, run.classes) == ("unfinished", "tiny", 1, ())
    assert run.notes == ("not finished: 1 run has ended, 5 epochs logged",)
    assert [start["command"] for start in run.provenance] == ["mer train-head <b>"]


def test_a_cut_prediction_is_an_error_that_names_its_line(tmp_path: Path, make_run: Make) -> None:
    file = make_run(tmp_path / "run", ANSWERS) / "predictions.csv"
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(ResultError, match=r"predictions.csv, line 9: cannot be read.*train that row again"):
        read_predictions(file)


def test_foreign_columns_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,label\nu1,angry\n")
    with pytest.raises(
        ResultError, match="expected the columns fold, seed, id, label, prediction and one per class, found id, label"
    ):
        read_predictions(tmp_path / "p.csv")


def test_a_damaged_result_is_an_error_with_its_file(tmp_path: Path, make_run: Make) -> None:
    folder = make_run(tmp_path / "run", ANSWERS)
    (folder / "result.json").write_text('{"format": 1,')
    with pytest.raises(ResultError, match=r"result.json: is damaged"):
        read_run(folder)


def test_a_result_of_another_format_is_refused(tmp_path: Path, make_run: Make) -> None:
    folder = make_run(tmp_path / "run", ANSWERS)
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | {"format": 2}))
    with pytest.raises(ResultError, match="format 2, and this version of mer reads 1"):
        read_run(folder)


@pytest.mark.parametrize(("name", "message"), [("nowhere", "no such folder"), (".", "holds no run")])
def test_where_there_is_no_run_the_error_says_what_to_give(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ReportError, match=message):
        find_runs((tmp_path / name,))


def test_a_grid_names_its_rows_and_what_the_paper_has(two_runs: Path) -> None:
    (two_runs / "tiny-grid").mkdir()
    rows = [
        {
            "name": "text alone",
            "directory": "tiny-linear-T-11111111",
            "published_ua": 68.12,
            "published_wa": None,
            "setup": {"differs": [], "unknown": []},
        },
        {"name": "pending", "published_ua": 1.0},
    ]
    (two_runs / "tiny-grid" / "grid.json").write_text(json.dumps({"grid": {"paper": "Nobody 2000, table 7"}, "rows": rows}))
    (only,) = find_runs((two_runs / "tiny-grid",))
    assert (only.name, only.published, only.paper) == ("text alone", {"ua": 68.12}, "Nobody 2000, table 7")
    assert {run.name: dict(run.published) for run in find_runs((two_runs,))} == {"text alone": {"ua": 68.12}, "late F+T": {}}


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        ({"differs": ["speech model", "n"], "unknown": []}, "differs in: speech model, n"),
        ({"differs": [], "unknown": ["layers"]}, "set-up unknown: layers"),
        (None, "set-up unknown: the grid was made before set-ups were compared; run `mer grid` again"),
    ],
)
def test_a_figure_of_a_grid_without_the_set_up_of_the_paper_is_not_read(two_runs: Path, setup: object, said: str) -> None:
    (two_runs / "tiny-grid").mkdir()
    row = {"name": "text alone", "directory": "tiny-linear-T-11111111", "published_ua": 68.12}
    rows = [row if setup is None else row | {"setup": setup}]
    (two_runs / "tiny-grid" / "grid.json").write_text(json.dumps({"grid": {"paper": "Nobody 2000, table 7"}, "rows": rows}))
    (only,) = find_runs((two_runs / "tiny-grid",))
    assert (dict(only.published), only.setup) == ({}, said)


def test_rows_of_one_name_are_told_apart_by_their_folder(tmp_path: Path, make_run: Make) -> None:
    for end in ("aaaa", "bbbb"):
        make_run(tmp_path / f"tiny-linear-T-{end}", ANSWERS)
    assert [run.name for run in find_runs((tmp_path,))] == ["linear T (tiny-linear-T-aaaa)", "linear T (tiny-linear-T-bbbb)"]


def test_different_corpora_are_refused_with_the_rows_of_each(tmp_path: Path, make_run: Make) -> None:
    make_run(tmp_path / "a-linear-T-1", ANSWERS)
    make_run(tmp_path / "b-late-F-2", ANSWERS, corpus="other", fusion="late", branches=("F",))
    runs = find_runs((tmp_path,))
    with pytest.raises(
        ReportError, match=r"(?s)cannot share a table.*tiny, angry, sad: linear T.*other, angry, sad: late F.*--force"
    ):
        group_runs(runs)
    assert [(group.corpus, [run.name for run in group.runs]) for group in group_runs(runs, force=True)] == [
        ("tiny", ["linear T"]),
        ("other", ["late F"]),
    ]


def test_different_classes_are_refused_too(tmp_path: Path, make_run: Make) -> None:
    make_run(tmp_path / "a-linear-T-1", ANSWERS)
    make_run(tmp_path / "b-linear-T-2", ANSWERS, classes=("hot", "cold"))
    with pytest.raises(ReportError, match="tiny, hot, cold"):
        group_runs(find_runs((tmp_path,)))


def test_an_unfinished_run_joins_the_table_of_its_corpus(tmp_path: Path, make_run: Make) -> None:
    make_run(tmp_path / "tiny-coattention-F-0", ANSWERS, fusion="coattention", branches=("F",), finished=False)
    make_run(tmp_path / "tiny-linear-T-1", ANSWERS)
    (group,) = group_runs(find_runs((tmp_path,)))
    assert [run.name for run in group.runs] == ["coattention F", "linear T"]
    assert [run.name for run in group.finished] == ["linear T"]


def test_an_unfinished_run_of_another_corpus_has_a_table_of_its_own(tmp_path: Path, make_run: Make) -> None:
    make_run(tmp_path / "other-coattention-F-0", ANSWERS, fusion="coattention", branches=("F",), finished=False)
    make_run(tmp_path / "tiny-linear-T-1", ANSWERS)
    runs = find_runs((tmp_path,))
    with pytest.raises(ReportError, match="other, classes unknown: coattention F"):
        group_runs(runs)
    assert [(group.corpus, len(group.runs)) for group in group_runs(runs, force=True)] == [("tiny", 1), ("other", 1)]
