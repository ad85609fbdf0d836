"""`mer report`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mer.commands.console import clear_errors, print_result, say
from mer.commands.options import HOW, WHAT, WHERE, CacheOption, CorpusOption, JsonOption, QuietOption

if TYPE_CHECKING:
    from mer.report.reported_run import ReportedRun
    from mer.report.run_group import RunGroup

FORMATS = ("terminal", "markdown", "latex", "csv")
AUDIO = ("link", "embed", "none")
SECONDS_BETWEEN_LOOKS = 2.0
DEFAULT_RUNS = Path("runs")
"""Where rows are looked for by name when no place is given."""


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUNS...", help="Run directories, folders of them, or a grid's folder.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(rich_help_panel=WHERE, help="Folder for tables, figures and index.html; else the table is printed only."),
    ] = None,
    cache: CacheOption = Path("features"),
    corpus: CorpusOption = None,
    table_format: Annotated[
        str, typer.Option("--format", rich_help_panel=WHAT, help="What is printed: terminal, markdown, latex or csv.")
    ] = "terminal",
    reference: Annotated[
        str | None, typer.Option(rich_help_panel=WHAT, help="The row that the others are compared with. Default: the best.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="A B",
            rich_help_panel=WHAT,
            help="Two runs, folders or names of rows: test, recalls, utterances that changed.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", rich_help_panel=HOW, help="Runs of different corpora or classes: a table each.")
    ] = False,
    audio: Annotated[
        str, typer.Option(rich_help_panel=HOW, help="On the page: link to the corpus' files, embed them, or none.")
    ] = "link",
    audio_limit: Annotated[
        float, typer.Option(min=0, rich_help_panel=HOW, help="Megabytes of audio to embed; disagreements and errors first.")
    ] = 20.0,
    watch: Annotated[
        Path | None,
        typer.Option(metavar="RUN", rich_help_panel=WHAT, help="Follow a run in the terminal until it is finished."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Turn run directories into tables, figures and one HTML page.

    Runs of one corpus make a table: every head with its spread, a paper's figures
    beside where a grid has them, and its difference from the best. --to writes the
    table in every format, the figures, and a page that needs no network. With
    --corpus, or the cache in --cache, the page has transcripts, speakers and audio.
    """
    with clear_errors("nothing that was there is changed"):
        for option, value, known in (("--format", table_format, FORMATS), ("--audio", audio, AUDIO)):
            if value not in known:
                raise typer.BadParameter(f"{value!r}: expected one of {', '.join(known)}", param_hint=option)
        if watch is not None:
            follow(watch)
            return
        if compare is not None:
            print_pair(*compare, tuple(runs or ()), as_json=as_json)
            return
        from mer.commands.report_papers import with_known_figures
        from mer.report import ReportError, find_runs, group_runs

        if not runs:
            raise ReportError("which runs? Give run directories, or a folder of them: mer report runs")
        found, remarks = with_known_figures(find_runs(tuple(runs)))
        for remark in remarks:
            say(remark, quiet)
        groups = group_runs(found, force=force)
        for group in groups:
            notes = {run.name: run.notes for run in group.runs if run.status == "done"}
            for name, lines in notes.items():
                for line in lines:
                    say(f"{name}: {line}", quiet)
        results = [one_table(group, reference) for group in groups]
        folders = [None if to is None else to / folder_name(group) if len(groups) > 1 else to for group in groups]
        written = []
        for group, result, folder in zip(groups, results, folders, strict=True):
            if folder is not None:
                from mer.commands.report_page import write_report

                page = write_report(
                    group, result["table"], folder, corpus=corpus, cache=cache, audio=audio, audio_limit=audio_limit, quiet=quiet
                )
                written.append(str(page))
        print_tables(results, written, table_format, as_json)
        for name in written:
            say(f"page      {name}", quiet)


def folder_name(group: "RunGroup") -> str:
    """Where a table goes when there are several: `iemocap-angry-happy-sad-neutral`."""
    import re

    return re.sub(r"[^\w.-]+", "-", "-".join([group.corpus, *group.classes]))[:80]


def one_table(group: "RunGroup", reference: str | None) -> dict[str, Any]:
    """The scores of a group and its differences from one row."""
    from mer.commands.report_papers import beside_papers
    from mer.report import score_table

    comparisons, refusals = compare_group(group, reference)
    return {
        "table": score_table(group, comparisons, chosen=reference is not None, beside=beside_papers(group)),
        "comparisons": comparisons,
        "not_compared": refusals,
        "runs": [{"name": run.name, "directory": str(run.directory), "notes": list(run.notes)} for run in group.runs],
    }


def compare_group(group: "RunGroup", reference: str | None) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Every finished row against the reference, or the best; what cannot be compared, with the reason."""
    from mer.protocol import ProtocolError, compare_rows
    from mer.report import ReportError

    finished = {run.name: run for run in group.finished}
    if reference is not None and reference not in finished:
        raise ReportError(f"there is no finished row {reference!r}; expected one of {', '.join(map(repr, finished))}")
    if len(finished) < 2:
        return [], {}
    best = max(finished, key=lambda name: finished[name].result["summary"]["all"]["ua"]["mean_of_folds"])
    chosen = reference or best
    answers = {name: answers_of(run) for name, run in finished.items()}
    refusals = {}
    for name in [name for name in answers if name != chosen]:
        try:
            compare_rows({chosen: answers[chosen], name: answers[name]}, chosen, len(group.classes), draws=1)
        except ProtocolError as problem:
            refusals[name] = str(problem)
    kept = {name: runs for name, runs in answers.items() if name not in refusals}
    rows = compare_rows(kept, chosen, len(group.classes)) if len(kept) > 1 else []
    return [row.as_dict() for row in rows], refusals


def answers_of(run: "ReportedRun") -> Any:
    """A row's answers in the protocol's own form."""
    from mer.protocol import answers_from_table

    lines = (
        {"fold": each.fold, "seed": str(each.seed), "id": each.id, "label": each.label, "prediction": each.prediction}
        for each in run.predictions
    )
    return answers_from_table(lines, run.classes)


def print_tables(results: list[dict[str, Any]], written: list[str], table_format: str, as_json: bool) -> None:
    """All tables to standard output."""
    from rich.console import Group

    from mer.report import csv_table, latex_table, markdown_table, terminal_table

    if not as_json and table_format != "terminal":
        make = {"markdown": markdown_table, "latex": latex_table, "csv": csv_table}[table_format]
        print("\n".join(make(result["table"]) for result in results), end="")
        return
    data = {
        "tables": [{**result, "table": result["table"].as_dict()} for result in results],
        "written": written,
    }
    shown = [terminal_table(each["table"], each["comparisons"], each["not_compared"]) for each in results]
    print_result(data, Group(*shown), as_json)


def chosen_pair(a: Path, b: Path, places: tuple[Path, ...]) -> "list[ReportedRun]":
    """Two run directories, or rows by the names that `mer report` gives them among the runs at `places`.

    Raises:
        ReportError: neither a folder nor the name of a row, or not one run each.
    """
    from mer.report import ReportError, find_runs

    named = [each for each in (a, b) if not each.is_dir()]
    if not named:
        runs = find_runs((a, b))
        if len(runs) != 2:
            raise ReportError(f"--compare takes two run directories; {a} and {b} hold {len(runs)}")
        return runs
    where = places or (DEFAULT_RUNS,)
    if not places and not DEFAULT_RUNS.is_dir():
        raise ReportError(f"{named[0]}: no such folder; give two run directories, or names of rows and where they are: RUNS...")
    rows = {run.name: run for run in find_runs(where)}
    folders = {run.directory.resolve(): run for run in rows.values()}
    pair = []
    for each in (a, b):
        found = folders.get(each.resolve()) if each.is_dir() else rows.get(str(each))
        if found is None:
            known = ", ".join(map(repr, rows))
            raise ReportError(f"{each}: no run directory and no row of {', '.join(map(str, where))}; expected one of {known}")
        pair.append(found)
    if pair[0] is pair[1]:
        raise ReportError(f"--compare takes two rows; {a} and {b} are both {pair[0].name}")
    return pair


def print_pair(a: Path, b: Path, places: tuple[Path, ...], *, as_json: bool) -> None:
    """Two runs side by side."""
    from mer.protocol import compare_rows
    from mer.report import group_runs, make_pair, pair_report

    runs = chosen_pair(a, b, places)
    group_runs(runs)
    first, second = runs
    unfinished = [run for run in runs if run.status != "done"]
    comparison: Mapping[str, Any] = {}
    if not unfinished:
        answers = {run.name: answers_of(run) for run in runs}
        comparison = compare_rows(answers, second.name, len(second.classes))[0].as_dict()
    pair = make_pair(first, second, comparison)
    print_result(pair.as_dict(), pair_report(pair), as_json)


def follow(directory: Path) -> None:
    """Show a run until it is finished; Ctrl-C ends the look, not the run."""
    import time

    from rich.console import Console
    from rich.live import Live

    from mer.report import ReportError
    from mer.report.watch import is_finished, watch_view
    from mer.results.names import CONFIG

    if not (directory / CONFIG).exists() and not is_finished(directory):
        problem = f"holds no run (no {CONFIG})" if directory.is_dir() else "no such run directory"
        raise ReportError(f"{directory}: {problem}; give the one that is being written, such as runs/NAME")
    console = Console(highlight=False)
    if not console.is_terminal:
        console.print(watch_view(directory))
        return
    with Live(watch_view(directory), console=console, auto_refresh=False) as live:
        while not is_finished(directory):
            time.sleep(SECONDS_BETWEEN_LOOKS)
            live.update(watch_view(directory), refresh=True)
        live.update(watch_view(directory), refresh=True)
