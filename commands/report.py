"""`mer report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer.commands.console import clear_errors, is_terminal, looks, print_result, say, show_live
from mer.commands.options import DEFAULT_CORPUS, HOW, WHAT, WHERE, CacheOption, CorpusOption, JsonOption, QuietOption

if TYPE_CHECKING:
    from mer.report.page_sources import PageSources
    from mer.report.table_report import TableReport

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
        if watch is not None:
            follow(watch)
        elif compare is not None:
            print_pair(*compare, tuple(runs or ()), as_json=as_json)
        else:
            check_choices(table_format, audio)
            from mer.report.page_sources import PageSources

            place = corpus or DEFAULT_CORPUS
            sources = PageSources(corpus=place, named=corpus is not None, cache=cache, audio=audio, audio_limit=audio_limit)
            print_report(tuple(runs or ()), reference, force, to, sources, table_format, as_json, quiet)


def check_choices(table_format: str, audio: str) -> None:
    """Refuse what is none of the words that an option takes."""
    for option, value, known in (("--format", table_format, FORMATS), ("--audio", audio, AUDIO)):
        if value not in known:
            raise typer.BadParameter(f"{value!r}: expected one of {', '.join(known)}", param_hint=option)


def print_report(
    runs: tuple[Path, ...],
    reference: str | None,
    force: bool,
    to: Path | None,
    sources: "PageSources",
    table_format: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Tables to standard output, and to a folder where one is given."""
    from mer.report.table_report import table_reports

    tables, remarks = table_reports(runs, reference=reference, force=force)
    for remark in remarks:
        say(remark, quiet)
    pages: list[Path] = []
    if to is not None:
        from mer.report.report_folder import write_reports

        pages, notes = write_reports(tables, to, sources, quiet=quiet)
        for note in notes:
            say(note, quiet)
    print_tables(tables, list(map(str, pages)), table_format, as_json)
    for page in pages:
        say(f"page      {page}", quiet)


def print_tables(tables: "list[TableReport]", written: list[str], table_format: str, as_json: bool) -> None:
    """All tables to standard output."""
    from rich.console import Group

    from mer.report import csv_table, latex_table, markdown_table, terminal_table

    if not as_json and table_format != "terminal":
        make = {"markdown": markdown_table, "latex": latex_table, "csv": csv_table}[table_format]
        print("\n".join(make(each.table) for each in tables), end="")
        return
    shown = [terminal_table(each.table, each.comparisons, each.not_compared) for each in tables]
    print_result({"tables": [each.as_dict() for each in tables], "written": written}, Group(*shown), as_json)


def print_pair(a: Path, b: Path, places: tuple[Path, ...], *, as_json: bool) -> None:
    """Two runs side by side."""
    from mer.report import compared_pair, pair_report

    pair = compared_pair(a, b, places or (DEFAULT_RUNS,))
    print_result(pair.as_dict(), pair_report(pair), as_json)


def follow(directory: Path) -> None:
    """Show a run until it is finished; Ctrl-C ends the look, not the run."""
    from mer.report.watch import check_run, is_finished, watch_view

    check_run(directory)
    if not is_terminal():
        print_result({}, watch_view(directory), as_json=False)
        return
    show_live(looks(lambda: watch_view(directory), SECONDS_BETWEEN_LOOKS, lambda: is_finished(directory)))
