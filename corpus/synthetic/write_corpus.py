"""The whole synthetic corpus: a folder in IEMOCAP's layout, spoken by espeak-ng."""

import dataclasses
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import soundfile

from mer.corpus.synthetic.dialogue_files import TimedTurn, emo_evaluation, transcription
from mer.corpus.synthetic.espeak import Synthesizer, open_synthesizer
from mer.corpus.synthetic.recording import SAMPLE_RATE, record
from mer.corpus.synthetic.screenplay import SESSIONS, AlignmentFiles, Turn, write_screenplay
from mer.corpus.synthetic.sphinx_files import (
    HEADERS_ONLY,
    Pronunciations,
    SphinxFiles,
    exact_times,
    sphinx_files,
)
from mer.corpus.synthetic.voices import VOICES
from mer.corpus.utterance import CorpusError
from mer.files import make_folder, whole_folder

MARKER = "SYNTHETIC.json"
"""Marks a corpus as synthetic. Written before anything else, so that no half-written one passes for real."""

EXACT_TIMES = "exact_times.jsonl"
"""One object per utterance: `id`, `seconds`, and `words` and `phones` as `[label, start, end]` in seconds."""

RECIPE = 1
"""Raised whenever the same seed gives other bytes."""

DEFAULT_UTTERANCES = 500

GENERATOR = "mer synth"

_README = """This is not IEMOCAP. All speech in this folder is synthetic: espeak-ng speaks invented sentences.
Layout and file formats are those of IEMOCAP_full_release, its irregularities included, so that programs
which read that corpus can be tried without it. Results on it say nothing about human emotion.
exact_times.jsonl holds the synthesiser's own phone and word times.
"""

_UNTIMED = ("M: Yeah.", "F:Umm.", "F :Here you go.", "M:", "M: [Chuckles]", "F: Okay. ")
_APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \x00\x02\x00\x00\x00\x09"


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticSummary:
    """What was written."""

    root: Path
    """The corpus folder."""
    seed: int
    """Decides every byte, with `RECIPE` and the version of espeak-ng."""
    utterances: int
    """Labelled utterances with sound."""
    seconds: float
    """Seconds of sound."""
    labels: dict[str, int]
    """Utterances per corpus label."""
    without_alignment: int
    """Utterances without any alignment file."""


def write_synthetic_corpus(
    root: Path,
    *,
    utterances: int = DEFAULT_UTTERANCES,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SyntheticSummary:
    """Write a corpus in IEMOCAP's own layout and formats; one seed gives the same bytes every time.

    Args:
        root: new or empty folder.
        utterances: labelled utterances in all, 100 or more, spread evenly over ten speakers.
        seed: of words, voices, times and noise.
        progress: called with utterances done and utterances in all.

    Raises:
        CorpusError: the folder is not empty, there are too few utterances, or espeak-ng is not installed.
    """
    turns = write_screenplay(utterances, seed)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise CorpusError(f"{root}: not an empty folder; give a new one for the synthetic corpus")
    with open_synthesizer(seed) as synthesizer:
        return _speak_corpus(root, turns, seed, synthesizer, progress, replace=False)


def ensure_synthetic_corpus(
    root: Path,
    *,
    utterances: int = DEFAULT_UTTERANCES,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SyntheticSummary:
    """Like `write_synthetic_corpus`, but keep the corpus that is already there, and finish one that was interrupted.

    Raises:
        CorpusError: the folder holds something else, or a corpus with other settings.
    """
    path = root / MARKER
    if not path.is_file():
        return write_synthetic_corpus(root, utterances=utterances, seed=seed, progress=progress)
    with open_synthesizer(seed) as synthesizer:
        wanted = _marker(synthesizer, utterances, seed)
        found = _read_marker(path)
        for setting, value in wanted.items():
            if found.get(setting) != value:
                raise CorpusError(
                    f"{root}: holds a synthetic corpus with {setting} {found.get(setting)!r}, wanted {value!r}; "
                    "give a new folder or remove this one"
                )
        if found.get("complete") is not True:
            return _speak_corpus(root, write_screenplay(utterances, seed), seed, synthesizer, progress, replace=True)
    return SyntheticSummary(
        root=root,
        seed=seed,
        utterances=utterances,
        seconds=found["seconds"],
        labels=found["labels"],
        without_alignment=found["without_alignment"],
    )


def _read_marker(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("generator") != GENERATOR:
        raise CorpusError(f"{path}: not the marker of a corpus by {GENERATOR}; give a new folder")
    return found


def _marker(synthesizer: Synthesizer, utterances: int, seed: int) -> dict[str, str | int]:
    return {
        "generator": GENERATOR,
        "recipe": RECIPE,
        "espeak_ng": synthesizer.version,
        "seed": seed,
        "utterances": utterances,
    }


def _speak_corpus(
    root: Path,
    turns: list[Turn],
    seed: int,
    synthesizer: Synthesizer,
    progress: Callable[[int, int], None] | None,
    *,
    replace: bool,
) -> SyntheticSummary:
    make_folder(root.absolute().parent)
    with whole_folder(root, replace=replace) as hidden:
        return dataclasses.replace(_fill(hidden, turns, seed, synthesizer, progress), root=root)


def _fill(
    root: Path,
    turns: list[Turn],
    seed: int,
    synthesizer: Synthesizer,
    progress: Callable[[int, int], None] | None,
) -> SyntheticSummary:
    marker = _marker(synthesizer, len(turns), seed)
    _write(root / MARKER, json.dumps({**marker, "complete": False}, indent=2) + "\n")
    _write(root / "README.txt", _README)
    writer = _Writer(root, seed, synthesizer, progress or (lambda done, total: None), len(turns))
    for dialogue, parts in groupby(turns, key=lambda turn: turn.dialogue):
        writer.write_dialogue(dialogue, list(parts))
    lines = (json.dumps({"id": name, **times}) + "\n" for name, times in sorted(writer.times.items()))
    _write(root / EXACT_TIMES, "".join(lines))
    summary = SyntheticSummary(
        root=root,
        seed=seed,
        utterances=len(turns),
        seconds=round(writer.seconds, 4),
        labels=dict(sorted(Counter(turn.label for turn in turns).items())),
        without_alignment=sum(turn.alignment is AlignmentFiles.NONE for turn in turns),
    )
    counts = {
        "complete": True,
        "seconds": summary.seconds,
        "sessions": len(SESSIONS),
        "speakers": len(VOICES),
        "labels": summary.labels,
        "without_alignment": summary.without_alignment,
    }
    _write(root / MARKER, json.dumps({**marker, **counts}, indent=2) + "\n")
    return summary


class _Writer:
    """Speaks dialogue after dialogue; what it keeps between them are counts, times and pronunciations."""

    def __init__(
        self,
        root: Path,
        seed: int,
        synthesizer: Synthesizer,
        progress: Callable[[int, int], None],
        total: int,
    ) -> None:
        self.times: dict[str, dict[str, object]] = {}
        self.seconds = 0.0
        self._root = root
        self._seed = seed
        self._synthesizer = synthesizer
        self._progress = progress
        self._total = total
        self._pronunciations = Pronunciations()

    def write_dialogue(self, dialogue: str, turns: list[Turn]) -> None:
        """Speak a dialogue and write all its files."""
        session = self._root / f"Session{dialogue[4]}"
        dice = random.Random(f"{self._seed}/{dialogue}")
        timed: list[TimedTurn] = []
        numbers: Counter[str] = Counter()
        clock = dice.uniform(3.0, 8.0)
        for turn in turns:
            gender = turn.speaker[-1]
            name = f"{dialogue}_{gender}{numbers[gender]:03d}"
            numbers[gender] += 1
            seconds = self._write_turn(session / "sentences", name, turn)
            start = round(max(clock, 0.0), 4)
            timed.append(TimedTurn(id=name, label=turn.label, text=turn.text, start=start, end=round(start + seconds, 4)))
            clock = start + seconds + dice.uniform(-0.6, 0.8)
            self.seconds += seconds
            self._progress(len(self.times), self._total)
        self._write_texts(session / "dialog", dialogue, timed)

    def _write_turn(self, sentences: Path, name: str, turn: Turn) -> float:
        """Speak one turn, write its sound and alignment, and return its seconds."""
        dialogue, seed = turn.dialogue, f"{self._seed}/{name}"
        voice = VOICES[turn.speaker].name
        recording = record(turn.text, self._synthesizer, voice, turn.delivery, padding=turn.padding, seed=f"{seed}/room")
        sound = io.BytesIO()
        soundfile.write(sound, recording.samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")
        _write(sentences / "wav" / dialogue / f"{name}.wav", sound.getvalue())
        files = sphinx_files(recording, self._pronunciations, f"{seed}/scores")
        for suffix, content in _kept(files, turn.alignment):
            _write(sentences / "ForcedAlignment" / dialogue / f"{name}.{suffix}", content)
        self.times[name] = dict(exact_times(recording))
        return len(recording.samples) / SAMPLE_RATE

    def _write_texts(self, dialog: Path, dialogue: str, timed: list[TimedTurn]) -> None:
        by_speaker = sorted(timed, key=lambda turn: turn.id) if dialogue.endswith("1") else timed
        text = transcription(by_speaker, _extra_lines(dialogue, timed[-1].end))
        if dialogue == "Ses02F_impro01":
            text = text.replace("\n", "\r\n")
        _write(dialog / "transcriptions" / f"{dialogue}.txt", text.encode("latin-1"))
        labels = emo_evaluation(timed, f"{self._seed}/{dialogue}/raters")
        _write(dialog / "EmoEvaluation" / f"{dialogue}.txt", labels)
        if dialogue == "Ses01F_impro01":
            _write(dialog / "EmoEvaluation" / f"._{dialogue}.txt", _APPLE_DOUBLE)


def _kept(files: SphinxFiles, kept: AlignmentFiles) -> Iterator[tuple[str, bytes]]:
    if kept is AlignmentFiles.NONE:
        return
    if kept is AlignmentFiles.HEADERS_ONLY:
        files = HEADERS_ONLY
    if kept is AlignmentFiles.EMPTY:
        files = SphinxFiles(wdseg=b"", phseg=b"", syseg=b"")
    yield from (("wdseg", files.wdseg), ("phseg", files.phseg))
    if kept is not AlignmentFiles.NO_SYLLABLES:
        yield "syseg", files.syseg


def _extra_lines(dialogue: str, end: float) -> list[tuple[int, str]]:
    """Lines without label and sound, where the real corpus has them."""
    lines = []
    if "_impro" in dialogue:
        lines += [(position, text) for position, text in enumerate(_UNTIMED[int(dialogue[4]) - 1 :], start=1)]
    if dialogue in ("Ses03F_impro05", "Ses05F_impro05", "Ses05M_impro01"):
        times = f"[{end:08.4f}-{end + 0.5:08.4f}]"
        lines += [(0, f"{dialogue}_FXX0 {times}: Yeah."), (2, f"{dialogue}_MXX0 {times}: Mmhmm.")]
    if dialogue == "Ses05F_impro05":
        lines.append((2, f"{dialogue}_FXX0 [{end + 1:08.4f}-{end + 1.5:08.4f}]: Right."))
    if dialogue == "Ses05M_impro01":
        lines.append((1, f"{dialogue}_FXX2 [{end:08.4f}-{end - 0.4472:08.4f}]: Oh."))
    return lines


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("ascii") if isinstance(content, str) else content)
