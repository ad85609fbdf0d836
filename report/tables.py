"""Extractions, caches and findings of the doctor on the terminal, from the same plain data that `--json` prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mer.report.recurring_table import recurring_table

ALIGNMENT_KINDS = {"corpus": "the corpus' own files", "textgrid": "TextGrids"}
MOST_SESSIONS = 8
NAMED = 8
"""How many ids a line names before it counts the rest."""
"""A census of more sessions than this has no column for each."""
MARKS = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "problem": "[red]problem[/red]"}


def extraction_lines(data: Mapping[str, Any]) -> RenderableType:
    """What an extraction left behind, and every utterance that failed with its reason."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    speed = data["audio_seconds"] / data["wall_seconds"] if data["wall_seconds"] else 0.0
    made = f"{data['shards_made']} made now" if data["shards_made"] else "all there already"
    table.add_row(
        "cache",
        escape(str(data["folder"])) + ("  [yellow](synthetic speech)[/yellow]" if data["synthetic"] else ""),
    )
    table.add_row("utterances", f"{data['utterances']:,} in {counted(data['shards'], 'shard')} ({made})")
    if data["shards_made"]:
        table.add_row(
            "this run",
            f"{data['audio_seconds']:,.0f} s of audio in {data['wall_seconds']:,.0f} s ({speed:.0f} x real time), "
            f"{size(data['bytes_written'])}",
        )
    if data["stage_seconds"]:
        table.add_row("stages", _stages(data["stage_seconds"], data["gpu_waits"]))
    aligned = {kind: n for kind, n in data["alignments"].items() if kind != "none"}
    whole = data["alignments"].get("none", 0)
    if aligned:
        kinds = ", ".join(f"{n:,} from {ALIGNMENT_KINDS.get(kind, kind)}" for kind, n in sorted(aligned.items()))
        rest = f"; {whole:,} have none: one segment over the whole utterance" if whole else ""
        table.add_row("alignments", kinds + rest)
    if data["tiers"]:
        table.add_row("own units", _own_units(data["tiers"]))
    for done, count in sorted(data["conversions"].items()):
        table.add_row("audio", f"{counted(count, 'file')} {done}")
    for kind, ids in data["odd_sounds"].items():
        rest = f" and {len(ids) - NAMED:,} more (--json names them)" if len(ids) > NAMED else ""
        table.add_row(
            "sound", escape(f"{counted(len(ids), 'utterance')}: {kind}: {', '.join(ids[:NAMED])}{rest}"), style="yellow"
        )
    parts: list[RenderableType] = [table]
    parts += [Text(words, style="red") for words in data["missing_tiers"].values()]
    if data["failed"]:
        parts.append(Text(f"{counted(len(data['failed']), 'utterance')} failed, not in the cache:", style="red"))
        parts += [Text(f"  {failed['id']}: {_without_id(failed)}") for failed in data["failed"]]
        parts.append(Text("Put right what can be, and give the same command again: it tries those that have changed."))
    return Group(*parts)


def _stages(seconds: Mapping[str, float], waits: float | None) -> str:
    """What each stage took, and how long the GPU waited for the others."""
    said = ", ".join(f"{stage} {each:,.1f} s" for stage, each in seconds.items())
    return said if waits is None else f"{said} (they overlap); the GPU waited {waits:.0%} of the time"


def _own_units(tiers: Mapping[str, Mapping[str, Any]]) -> str:
    """Per tier: utterances with units of their own, of how many; the rest is one segment each, or from an earlier mer."""
    said = []
    for tier, count in tiers.items():
        total = count["units"] + count["whole"] + count["unknown"]
        unknown = f" ({count['unknown']:,} not counted by an earlier mer)" if count["unknown"] else ""
        said.append(f"{tier} in {count['units']:,} of {total:,}{unknown}")
    whole = any(count["whole"] for count in tiers.values())
    return ", ".join(said) + " utterances" + ("; the others are one segment over the whole utterance" if whole else "")


def _without_id(failed: Mapping[str, Any]) -> str:
    reason: str = failed["reason"]
    return reason.removeprefix(f"{failed['id']}: ")


def cache_table(info: Mapping[str, Any]) -> RenderableType:
    """What a cache holds: units and bytes per granularity."""
    models = ", ".join(str(each["model"]) for each in info["models"].values() if "model" in each)
    table = Table(title=f"{info['corpus']['name']}  {info['key'][:12]}  {models}".rstrip(), title_justify="left")
    for name in ("granularity", "units", "layers", "dim", "size"):
        table.add_column(name, justify="left" if name == "granularity" else "right")
    for granularity, row in info["granularities"].items():
        table.add_row(granularity, f"{row['units']:,}", str(len(row["layers"])), str(row["dim"]), size(row["bytes"]))
    note = (
        f"{info['utterances']:,} utterances, {_hours(info['seconds'])}, {counted(info['shards'], 'shard')}, {size(info['bytes'])}"
    )
    failed = [Text(f"  failed: {f['id']}: {_without_id(f)}", style="red") for f in info["failed"]]
    unfinished = info["unfinished"]["utterances"]
    if unfinished:
        failed.append(Text(f"{counted(unfinished, 'utterance')} planned and not extracted yet: run `mer extract` again"))
    return Group(table, Text(note), *failed)


def verify_lines(report: Mapping[str, Any]) -> RenderableType:
    """Each finding with what to do, or one line that all is well."""
    shards = counted(report["shards"], "shard")
    how = (
        f"every byte of {size(report['bytes'])} was read"
        if report["full"]
        else "only sizes were looked at; --full reads every byte"
    )
    if not report["findings"]:
        verdict = "whole" if report["full"] else "no file missing or cut short"
        return Text(f"{shards}, {counted(report['utterances'], 'utterance')}: {verdict} ({how})", style="green")
    lines = [Text(f"{f['shard']}: {f['problem']}\n  → {f['action']}", style="red") for f in report["findings"]]
    return Group(*lines, Text(f"{counted(len(report['findings']), 'problem')} in {shards} ({how})"))


def whole_lines(checked: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Each place that was read: how much of it was compared, and what is damaged there."""
    lines = []
    for each in checked:
        lines.append(Text(f"{each['path']}: {each['kind']}, {_verdict(each)}", style="red" if each["problems"] else "green"))
        lines += [Text(f"  {problem}", style="red") for problem in each["problems"]]
        if each["unchecked"]:
            first = ", ".join(each["unchecked"][:3])
            more = ", ..." if len(each["unchecked"]) > 3 else ""
            lines.append(Text(f"  no hash of {counted(len(each['unchecked']), 'file')} to compare with: {first}{more}"))
    return Group(*lines)


def _verdict(checked: Mapping[str, Any]) -> str:
    if checked["problems"]:
        return counted(len(checked["problems"]), "problem")
    return f"whole ({counted(checked['files'], 'file')}, {size(checked['bytes'])} compared)" if checked["files"] else "readable"


def doctor_report(data: Mapping[str, Any]) -> RenderableType:
    """All findings, the census of the corpus, and the settings that are not built in."""
    parts: list[RenderableType] = [checks_table(data["checks"])]
    if data["census"]:
        parts.append(census_table(data["census"]))
    if data["recurring_sentences"]:
        parts.append(recurring_table(data["recurring_sentences"]))
    if data["settings"]:
        table = Table(title="settings in force (an option on the command line goes before them)")
        for name in ("command", "option", "value", "from"):
            table.add_column(name, overflow="fold")
        for row in data["settings"]:
            table.add_row(*(escape(row[key]) for key in ("command", "option", "value", "source")))
        parts.append(table)
    problems = sum(check["status"] == "problem" for check in data["checks"])
    if problems:
        parts.append(Text(f"{counted(problems, 'problem')} above will stop or spoil a run", style="red"))
    else:
        parts.append(Text("nothing here will stop a run", style="green"))
    return Group(*parts)


def census_table(census: Mapping[str, Any]) -> Table:
    """Counts per label and session; where the full release has another count, `found/released`."""
    released = census["expected_labels"] or {}
    counts = dict.fromkeys(released, 0) | census["labels"]
    labels = [label for label, count in sorted(counts.items(), key=lambda item: -item[1]) if count or released.get(label)]
    every = census["sessions"]
    sessions = every if len(every) <= MOST_SESSIONS else []
    title = f"utterances by label{' and session' if sessions else ''}{' (found/in the full release)' if released else ''}"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("label")
    for session in sessions:
        name = session["session"]
        table.add_column(escape(f"Session{name}" if name.isdecimal() else name), justify="right", overflow="fold")
    table.add_column("all", justify="right", no_wrap=True)
    for label in labels:
        cells = [_beside(row["labels"].get(label, 0), (row["expected_labels"] or {}).get(label)) for row in sessions]
        table.add_row(escape(label), *cells, _beside(counts[label], released.get(label)))
    for name in ("utterances", "dialogues"):
        cells = [_beside(row[name], row[f"expected_{name}"]) for row in sessions]
        expected = [row[f"expected_{name}"] for row in every]
        whole = None if None in expected else sum(expected)
        table.add_row(name, *cells, _beside(sum(row[name] for row in every), whole), style="bold")
    if not sessions:
        table.add_row("sessions", str(len(every)), style="bold")
    return table


def checks_table(checks: Sequence[Mapping[str, Any]]) -> Table:
    """Findings of the doctor."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        advice = f"  [dim]→ {escape(check['advice'])}[/dim]" if check["advice"] else ""
        table.add_row(MARKS[check["status"]], escape(check["name"]), escape(check["found"]) + advice)
    return table


def percent(share: float | None) -> str:
    """A share of 1 in percent, a dash where there is none."""
    return "-" if share is None else f"{100 * share:.2f}"


def counted(count: int, noun: str) -> str:
    """A number and its noun: 1 shard, 5 shards."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def size(count: float) -> str:
    """Bytes for people: 1.23 GB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def _beside(found: int, expected: int | None) -> str:
    if expected is None or found == expected:
        return f"{found:,}"
    # Two lines where one would be too wide for seven columns in a terminal of 80.
    slash = "/" if len(f"{found:,}{expected:,}") < 9 else "\n/"
    return f"[red]{found:,}[/red]{slash}{expected:,}"
