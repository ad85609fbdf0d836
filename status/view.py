"""An overview on the terminal."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mer.report.tables import counted, percent
from mer.status.alignment_status import AlignmentStatus
from mer.status.cache_status import CacheStatus, State
from mer.status.grid_status import GridStatus, RowStatus
from mer.status.overview import Overview
from mer.status.pace import HostShare
from mer.status.run_status import RunStatus
from mer.status.set_status import SetStatus

SHOWN = 5
"""Failures of one cache or run; all of them are in --json."""
STYLES: dict[State, str] = {"done": "green", "running": "cyan", "silent": "yellow", "stopped": "yellow", "waiting": "dim"}
NOTE = (
    "Waiting: nothing of it is done yet. Silent: something is left to do, and no file came for a while. "
    "Stopped: its process has ended before it was done; the same command goes on. "
    "UA in percent, CCC of ratings; in brackets that of runs that train, on validation."
)


def status_view(overview: Overview, now: float) -> RenderableType:
    """All that was found, alignments first and runs last.

    Args:
        overview: what was found.
        now: seconds since the epoch, when it was.
    """
    parts: list[RenderableType] = []
    for alignment in overview.alignments:
        parts += [_alignment(alignment, now), Text("")]
    for cache in overview.caches:
        parts += [*_cache(cache, now), Text("")]
    for each in overview.sets:
        parts += [*_set(each), Text("")]
    for grid in overview.grids:
        parts += [*_grid(grid, now), Text("")]
    if overview.runs:
        parts += [_runs(overview.runs, now), *_failed_runs(overview.runs), Text("")]
    return Group(*parts, Text(NOTE, style="dim"))


def _alignment(found: AlignmentStatus, now: float) -> RenderableType:
    failed = f", {found.failed:,} could not be" if found.failed else ""
    return Group(
        _title(str(found.folder), found.state, found.last, now),
        Text(f"  {counted(found.aligned, 'utterance')} aligned{failed}; {audio(found.seconds)} of audio"),
    )


def _cache(found: CacheStatus, now: float) -> Iterator[RenderableType]:
    yield _title(str(found.folder), found.state, found.last, now)
    share = f" ({found.committed / found.planned:.0%})" if found.planned else ""
    yield Text(f"  {found.committed:,} of {counted(found.planned, 'shard')} planned so far{share}")
    left = f", about {audio(found.seconds_left)} to do" if found.seconds_left else ""
    yield Text(f"  {counted(found.utterances, 'utterance')}, {audio(found.seconds)} of audio done{left}")
    if found.time_left:
        yield Text(f"  {speed(found.rate)} x real time: done in about {duration(found.time_left)}")
    if found.failed_utterances:
        yield Text(f"  {counted(found.failed_utterances, 'utterance')} could not be extracted: `mer cache info` lists them")
    if found.unreadable:
        yield Text(f"  torn, made again by the next command: {', '.join(found.unreadable[:SHOWN])}", style="yellow")
    if found.hosts and (found.state == "running" or len(found.hosts) > 1):
        yield _hosts(found.hosts, now)
    if found.failed:
        yield Text(f"  {counted(len(found.failed), 'shard')} given up; the same command tries again:", style="red")
    for shard in found.failed[:SHOWN]:
        yield Text(f"  {shard.shard}: try {shard.tries} on {shard.host}: {shard.reason}")
    if len(found.failed) > SHOWN:
        yield Text(f"  and {len(found.failed) - SHOWN} more")


def _set(found: SetStatus) -> Iterator[RenderableType]:
    yield Text(f"{found.folder}: {'+'.join(found.granularities)}, of {', '.join(each.name for each in found.caches)}")
    if found.problem:
        yield Text(f"  {found.problem}", style="red")


def _hosts(hosts: Sequence[HostShare], now: float) -> Table:
    table = _table("host", "workers", "shards", "audio", "x real time", "last shard")
    for host in hosts:
        rate = speed(host.rate) if host.rate else "-"
        workers = str(host.workers) if host.workers else "-"
        table.add_row(escape(host.host), workers, f"{host.shards:,}", audio(host.seconds), rate, ago(host.last, now))
    return table


def _grid(found: GridStatus, now: float) -> Iterator[RenderableType]:
    states = [row.state for row in found.rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in STYLES if state in states)
    yield _title(f"{found.folder}", found.state, found.last, now)
    yield Text(f"  {counted(len(states), 'row')}: {counts}")
    table = _table("row", "state", "runs", "training", "UA", "paper", "last sign")
    for row in found.rows:
        table.add_row(*_row(row, now))
    yield table
    yield from (Text(f"  {row.name}: failed: {row.failure}", style="red") for row in found.rows if row.failure)
    yield from _failed_runs([run for row in found.rows for run in row.runs])


def _row(row: RowStatus, now: float) -> tuple[RenderableType, ...]:
    last = max((run.last for run in row.runs if run.last is not None), default=None)
    published = "-" if row.published_ua is None else f"{row.published_ua:.2f}"
    ua = _score(row.ua, row.runs)
    state = Text("failed", style="red") if row.failure else Text(row.state, style=STYLES[row.state])
    return (escape(row.name), state, _progress(row.runs), _training(row.runs), ua, published, ago(last, now))


def _runs(runs: Sequence[RunStatus], now: float) -> Table:
    table = _table("run", "state", "runs", "training", "UA", "last sign")
    for run in runs:
        state = Text(run.state, style=STYLES[run.state])
        name = f"{escape(run.name)}\n[dim]{escape(run.directory.name)}[/dim]"
        table.add_row(name, state, _progress([run]), _training([run]), _score(run.ua, [run]), ago(run.last, now))
    return table


def _progress(runs: Sequence[RunStatus]) -> str:
    """Folds and seeds: `12/25`; of heads that are averaged only, `-`."""
    if not any(run.total or run.finished for run in runs):
        return "-"
    total = "?" if any(run.total is None for run in runs) else str(sum(run.total or 0 for run in runs))
    return f"{sum(run.finished for run in runs)}/{total}"


def _training(runs: Sequence[RunStatus]) -> str:
    """How many train, and the epoch of the one that was heard last."""
    training = [each for run in runs for each in run.running]
    return f"{len(training)}, epoch {training[0].epoch}" if training else ""


def _score(ua: float | None, runs: Sequence[RunStatus]) -> str:
    """Ours, or in brackets the mean on validation of the runs that train; of ratings, CCC in place of UA."""
    ccc = [run.ccc for run in runs if run.ccc is not None]
    if ua is not None or ccc:
        return percent(ua) if ua is not None else f"CCC {sum(ccc) / len(ccc):.3f}"
    training = [each for run in runs for each in run.running]
    if now := [each.validation_ua for each in training if each.validation_ua is not None]:
        return f"({percent(sum(now) / len(now))})"
    rated = [each.validation_ccc for each in training if each.validation_ccc is not None]
    return f"(CCC {sum(rated) / len(rated):.3f})" if rated else "-"


def _failed_runs(runs: Sequence[RunStatus]) -> Iterator[Text]:
    for run in runs:
        for each in run.failed[:SHOWN]:
            yield Text(f"  {run.name}: fold {each.fold} seed {each.seed} failed: {each.reason}", style="red")
        if len(run.failed) > SHOWN:
            yield Text(f"  {run.name}: and {len(run.failed) - SHOWN} more", style="red")


def _title(place: str, state: State, last: float | None, now: float) -> Text:
    sign = "" if last is None else f", last sign {ago(last, now)}"
    return Text.assemble((place, "bold"), "  ", (state, STYLES[state]), (sign, "dim"), overflow="fold")


def _table(*names: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in names:
        words = name in {"row", "run", "host"}
        table.add_column(name, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    return table


def ago(moment: float | None, now: float) -> str:
    """`12 s ago`; clocks of two machines may differ, so never in the future."""
    return "-" if moment is None else f"{duration(max(0.0, now - moment))} ago"


def speed(rate: float) -> str:
    """Seconds of audio per second."""
    return f"{rate:.1f}" if rate < 10 else f"{rate:,.0f}"


def audio(seconds: float) -> str:
    """Amount of audio: never in days, as corpora are told in hours."""
    return duration(seconds) if seconds < 48 * 3600 else f"{seconds / 3600:,.0f} h"


def duration(seconds: float) -> str:
    """A time for people: 59 s, 12 min, 3.4 h, 2.5 days."""
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "min")):
        if round(seconds / divisor) * divisor < limit:
            return f"{seconds / divisor:.0f} {unit}"
    hours = seconds / 3600
    return f"{hours:,.1f} h" if hours < 48 else f"{hours / 24:,.1f} days"
