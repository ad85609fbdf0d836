"""Alignments in JSON read as the TextGrid of the same times does; damage is the project's own error."""

import json
from pathlib import Path

import pytest

from mer.corpus.alignment import Alignment, AlignmentError, Segment
from mer.corpus.praat_alignment import TextGridAlignment

WORDS = [("happy", 0.1, 0.4), ("noon", 0.6, 0.9)]
PHONES = [[("HH", 0.1), ("AE", 0.1), ("P", 0.05), ("IY", 0.05)], [("N", 0.1), ("UW", 0.1), ("N", 0.1)]]
TIMED: list[tuple[float, float, str]] = []
for whole, word in zip(WORDS, PHONES, strict=True):
    begin = whole[1]
    for phone, seconds in word:
        TIMED.append((round(begin, 3), round(begin + seconds, 3), phone))
        begin += seconds
AS_ENTRIES = {"words": [[start, end, label] for label, start, end in WORDS], "phones": [list(each) for each in TIMED]}
LAYOUTS: dict[str, object] = {
    "MFA": {"start": 0, "end": 1, "tiers": {name: {"type": "interval", "entries": rows} for name, rows in AS_ENTRIES.items()}},
    "praatio": {"tiers": [{"class": "IntervalTier", "name": name, "entries": rows} for name, rows in AS_ENTRIES.items()]},
    "Gentle": {
        "transcript": "happy ... noon",
        "words": [
            {
                "word": word.title(),
                "case": "success",
                "start": start,
                "end": end,
                "phones": [{"phone": f"{label.lower()}_I", "duration": seconds} for label, seconds in phones],
            }
            for (word, start, end), phones in zip(WORDS, PHONES, strict=True)
        ]
        + [{"word": "gone", "case": "not-found-in-audio"}],
    },
    "WhisperX": {
        "segments": [
            {
                "start": 0,
                "end": 1,
                "text": "",
                "words": [{"word": f" {w}", "start": a, "end": b, "score": 0.9} for w, a, b in WORDS],
            }
        ],
        "word_segments": [],
    },
    "whisper-timestamped": {"segments": [{"words": [{"text": w, "start": a, "end": b} for w, a, b in WORDS]}]},
}


def read(path: Path, text: str) -> Alignment:
    path.write_text(text)
    return TextGridAlignment(path=path).read()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_gives_words_and_what_phones_there_are(name: str, tmp_path: Path) -> None:
    alignment = read(tmp_path / "a.JSON", json.dumps(LAYOUTS[name]))
    assert [Segment(each.label.lower(), each.start_ms, each.end_ms) for each in alignment.words] == [
        Segment("happy", 100, 400),
        Segment("noon", 600, 900),
    ]
    if "hisper" not in name:
        assert [each.label for each in alignment.phones] == ["HH", "AE", "P", "IY", "N", "UW", "N"]
        assert [each.label for each in alignment.syllables] == ["HH_AE", "P_IY", "N_UW_N"]


def test_other_json_and_overlaps_are_refused(tmp_path: Path) -> None:
    for text, message in (
        ("{", "no whole JSON"),
        ("[1]", "neither `tiers`"),
        ('{"segments": [{"words": [{"word": "a", "start": 0, "end": 2}, {"word": "b", "start": 1, "end": 3}]}]}', "overlap"),
        ('{"words": [{"word": "a", "start": "0", "end": 2}]}', "not as expected"),
    ):
        with pytest.raises(AlignmentError, match=rf"a\.json: not an alignment that can be read \(.*{message}"):
            read(tmp_path / "a.json", text)
