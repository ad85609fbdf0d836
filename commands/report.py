"""`mer report`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mer.commands.command_line import options_from
from mer.commands.console import clear_errors, is_terminal, looks, print_result, say, show_live
from mer.commands.corpus_choice import HowTablesAreRead
from mer.commands.options import DEFAULT_CORPUS, JsonOption, QuietOption
from mer.settings.kinds import NAMES
from mer.settings.option import WHAT, WHERE, option
from mer.settings.shared_options import cache_option, corpus_option

if TYPE_CHECKING:
    from mer.report.table_report import TableReport

SECONDS_BETWEEN_LOOKS = 2.0
DEFAULT_RUNS = Path("runs")
"""Where rows are looked for by name when no place is given."""


@dataclass(frozen=True, kw_only=True)
class WhatIsReported(HowTablesAreRead):
    """Where the rows and their utterances are, and what is made of them."""

    to: Path | None = option(None, "Folder for tables, figures and index.html; else the table is printed only.", panel=WHERE)
    cache: Path = cache_option()
    corpus: Path | None = corpus_option()
    table_format: str = option(
        "terminal",
        "What is printed.",
        name="format",
        choices=("terminal", "markdown", "latex", "csv"),
        panel=WHAT,
    )
    reference: str | None = option(None, "The row that the others are compared with. Default: the best.", panel=WHAT)
    columns: tuple[str, ...] = option(
        (),
        "Columns of the LaTeX and Markdown tables as CSV calls them, such as ua,ua_std_seeds,wa; points is the difference "
        "without its interval. Default: what fits.",
        kind=NAMES,
        metavar="NAME,...",
        panel=WHAT,
    )
    wide: bool = option(False, "The LaTeX table over both columns of a page (table*), with all that Markdown has.", panel=WHAT)
    by: tuple[str, ...] = option(
        (),
        "Scores of parts of the test utterances, too: gender, speaker, session, style, duration (< 2, 2-4, 4-8, from 8 s), votes "
        "(their number), or a column of the manifest. May be repeated.",
        metavar="COLUMN",
        panel=WHAT,
    )
    force: bool = option(False, "Runs of different corpora or classes: a table each.")
    audio: str = option("link", "On the page: link to the corpus' files, embed them, or none.", choices=("link", "embed", "none"))
    audio_limit: float = option(20.0, "Megabytes of audio to embed; disagreements and errors first.", least=0)
    watch: Path | None = option(None, "Follow the run in this directory in the terminal until it is finished.", panel=WHAT)


@options_from()
def report(
    what: WhatIsReported,
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUNS...", help="Run directories, folders of them, or a grid's folder.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="A B",
            rich_help_panel=WHAT,
            help="Two runs, folders or names of rows: test, recalls, utterances that changed.",
        ),
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
        if what.watch is not None:
            follow(what.watch)
        elif compare is not None:
            print_pair(*compare, tuple(runs or ()), as_json=as_json)
        else:
            print_report(tuple(runs or ()), what, as_json, quiet)


def print_report(runs: tuple[Path, ...], what: WhatIsReported, as_json: bool, quiet: bool) -> None:
    """Tables to standard output, and to a folder where one is given."""
    from mer.report import ReportError
    from mer.report.by_part import with_parts
    from mer.report.page_sources import PageSources
    from mer.report.table_report import table_reports

    if (what.columns or what.wide) and what.to is None and what.table_format not in ("latex", "markdown"):
        given = "--columns" if what.columns else "--wide"
        raise ReportError(f"{given} is of LaTeX and Markdown tables: give --format latex, --format markdown or --to too")
    tables, remarks = table_reports(runs, reference=what.reference, force=what.force)
    for remark in remarks:
        say(remark, quiet)
    sources = PageSources(
        corpus=what.corpus or DEFAULT_CORPUS,
        named=what.corpus is not None,
        audio_root=what.audio_root,
        encoding=what.encoding,
        cache=what.cache,
        audio=what.audio,
        audio_limit=what.audio_limit,
    )
    tables = [with_parts(replace(each, columns=what.columns, wide=what.wide), what.by, sources) for each in tables]
    pages: list[Path] = []
    if what.to is not None:
        from mer.report.report_folder import write_reports

        pages, notes = write_reports(tables, what.to, sources, quiet=quiet)
        for note in notes:
            say(note, quiet)
    print_tables(tables, list(map(str, pages)), what.table_format, as_json)
    for page in pages:
        say(f"page      {page}", quiet)


def print_tables(tables: "list[TableReport]", written: list[str], table_format: str, as_json: bool) -> None:
    """All tables to standard output."""
    from rich.console import Group

    from mer.report import terminal_table
    from mer.report.terminal_table import parts_table

    if not as_json and table_format != "terminal":
        print("\n".join(each.text(table, table_format) for each in tables for table in (each.table, *each.by.values())), end="")
        return
    shown = []
    for each in tables:
        shown.append(terminal_table(each.table, each.comparisons, each.not_compared))
        shown += [parts_table(table) for table in each.by.values()]
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
