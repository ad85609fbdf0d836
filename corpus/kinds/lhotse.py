"""Cuts of lhotse: https://lhotse.readthedocs.io/en/latest/cuts.html."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mer.corpus.row_format import Numbered, RowFormat, first_entry, text_in
from mer.corpus.utterance import CorpusError

CUTS = ("MonoCut", "MultiCut")
_SAME = 1e-3
"""Seconds within which a cut is its whole recording."""


class Lhotse(RowFormat):
    """JSON Lines of cuts, also packed with gzip; every supervision of a cut is an utterance."""

    title = "lhotse"
    layout = "a cuts.jsonl or cuts.jsonl.gz of MonoCut entries, each with its recording and supervisions that have custom.emotion"
    speaker_place = "supervisions[].speaker of every cut"

    def recognises(self, path: Path) -> bool:
        """A file whose first line is a cut."""
        if not path.name.lower().endswith((".jsonl", ".jsonl.gz")) or not path.is_file():
            return False
        first = first_entry(path)
        return str(first.get("type", "")).endswith("Cut") and ("supervisions" in first or "tracks" in first)

    def rows(self, path: Path, encoding: str | None) -> Iterator[Numbered]:
        """Every supervision with its place in the recording; what is in `custom` are columns."""
        for number, line in enumerate(text_in(path, encoding).split("\n"), start=1):
            if not line.strip():
                continue
            try:
                cut = json.loads(line)
                supervisions = cut["supervisions"] if cut["type"] in CUTS else None
                if not supervisions:
                    what = f"a {cut['type']}" if supervisions is None else "without supervisions"
                    raise CorpusError(
                        f"{path}: line {number}: cut {cut['id']!r:.80} is {what}; expected MonoCut with a supervision"
                    )
                for supervision in supervisions:
                    yield number, _row(cut, supervision, alone=len(supervisions) == 1)
            except CorpusError:
                raise
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise CorpusError(f"{path}: line {number}: no cut with a recording and supervisions ({error!r:.100})") from error


def _row(cut: Mapping[str, Any], supervision: Mapping[str, Any], *, alone: bool) -> dict[str, object]:
    recording = cut["recording"]
    source = _source(cut, recording)
    start = max(cut["start"] + supervision["start"], cut["start"])
    end = min(cut["start"] + supervision["start"] + supervision["duration"], cut["start"] + cut["duration"])
    whole = start <= _SAME and end >= recording["duration"] - _SAME
    custom = {**(cut.get("custom") or {}), **(supervision.get("custom") or {})}
    row: dict[str, object] = {name: value for name, value in custom.items() if isinstance(value, str | int | float)}
    row |= {name: supervision[name] for name in ("text", "speaker", "gender", "language") if supervision.get(name)}
    row |= {"id": cut["id"] if alone else supervision["id"], "wav": source["source"], "dialogue": recording["id"]}
    channel, channels = cut.get("channel", 0), source["channels"]
    if isinstance(channel, int) and len(channels) > 1:
        row["channel"] = channels.index(channel) + 1
    return row if whole else row | {"start_s": round(start, 6), "end_s": round(end, 6)}


def _source(cut: Mapping[str, Any], recording: Mapping[str, Any]) -> Mapping[str, Any]:
    """The file that a cut is of.

    Raises:
        CorpusError: it is of a command, an address or something in memory, of several files, or its sound is changed on the way.
    """
    channel = cut.get("channel", 0)
    wanted = set(channel) if isinstance(channel, list) else {channel}
    source: Mapping[str, Any] = next((each for each in recording["sources"] if wanted <= set(each["channels"])), {})
    changed = [str(each.get("name", each)) if isinstance(each, dict) else str(each) for each in recording.get("transforms") or ()]
    if source.get("type") != "file" or changed or (isinstance(channel, list) and wanted != set(source["channels"])):
        found = f"source of type {source.get('type')!r}, channel {channel}, transforms {', '.join(changed) or 'none'}"
        raise CorpusError(
            f"cut {cut['id']!r:.80}: {found}; mer reads one channel or all of them out of one audio file, unchanged: write the "
            "cuts to files with lhotse's save_audios"
        )
    return source
