"""Who says what, where and how: every turn of the corpus, decided before anything is spoken."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from mer.corpus.synthetic.espeak import Delivery
from mer.corpus.synthetic.sentences import compose, monologue
from mer.corpus.synthetic.voices import VOICES, deliver
from mer.corpus.utterance import CorpusError

SESSIONS = ("1", "2", "3", "4", "5")

FEWEST = 100
"""Utterances that hold every label and every quirk."""

_AMBIGUOUS_WORDS = 0.4
_AMBIGUOUS_VOICE = 0.36
"""Shares of turns whose words, or whose voice, fit other emotions too; never both."""

_LABELS = (
    *("neu", "ang", "hap", "sad", "exc", "neu", "xxx", "rare", "ang", "neu"),
    *("sad", "neu", "exc", "ang", "sad", "hap", "neu", "exc", "xxx", "rare"),
)
"""A speaker's labels go round in twenties, with more neutral speech and few of other labels as in IEMOCAP."""

_RARE = ("fru", "fru", "fru", "oth", "sur", "fru", "fea", "dis")
"""What `rare` stands for, in turn."""


class AlignmentFiles(Enum):
    """Which of a turn's alignment files are there."""

    ALL = "all"
    NO_SYLLABLES = "no syllables"
    NONE = "none"
    HEADERS_ONLY = "headers only"
    EMPTY = "empty"


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One utterance before it is spoken."""

    dialogue: str
    """Recording, such as `Ses01F_impro01`."""
    speaker: str
    """Session digit and gender, `1F`."""
    label: str
    """Consensus label; `xxx` where the raters do not agree."""
    text: str
    """Transcript with tags."""
    delivery: Delivery
    """Prosody."""
    padding: tuple[float, float]
    """Seconds of silence before and after."""
    alignment: AlignmentFiles = AlignmentFiles.ALL
    """What the aligner left."""


def dialogues(session: str) -> tuple[str, ...]:
    """Recordings of a session, irregular names included, as in the real corpus."""
    names = [f"Ses0{session}{who}_{what}" for what in ("impro01", "impro05", "script01_1", "script02_2") for who in "FM"]
    if session == "3":
        names[names.index("Ses03M_impro05")] = "Ses03M_impro05a"
        names.append("Ses03M_impro05b")
    if session == "5":
        names.append("Ses05M_script01_1b")
    return tuple(sorted(names))


def write_screenplay(utterances: int, seed: int) -> list[Turn]:
    """Every turn of the corpus, ordered by dialogue and then by time.

    Args:
        utterances: number of turns with label and sound, at least `FEWEST`.
        seed: decides everything.

    Raises:
        CorpusError: too few utterances for every quirk to occur.
    """
    if utterances < FEWEST:
        raise CorpusError(f"a synthetic corpus has at least {FEWEST} utterances, got {utterances}")
    dice = random.Random(f"{seed}/screenplay")
    labels = {speaker: _labels(index) for index, speaker in enumerate(VOICES)}
    counts = dict.fromkeys(VOICES, 0)
    for _, speaker in zip(range(utterances), itertools.cycle(VOICES)):
        counts[speaker] += 1
    turns: list[Turn] = []
    for session in SESSIONS:
        cast: dict[str, list[tuple[str, str]]] = {name: [] for name in dialogues(session)}
        for speaker in (f"{session}F", f"{session}M"):
            said = list(itertools.islice(labels[speaker], counts[speaker]))
            dice.shuffle(said)
            for dialogue, label in zip(itertools.cycle(cast), said):
                cast[dialogue].append((speaker, label))
        for dialogue, parts in cast.items():
            dice.shuffle(parts)
            turns += [_turn(dialogue, speaker, label, dice) for speaker, label in parts]
    _add_quirks(turns, dice)
    return turns


def _labels(offset: int) -> Iterator[str]:
    rare = itertools.cycle(_RARE[offset % len(_RARE) :] + _RARE[: offset % len(_RARE)])
    return (next(rare) if label == "rare" else label for label in itertools.cycle(_LABELS))


def _turn(dialogue: str, speaker: str, label: str, dice: random.Random) -> Turn:
    draw = dice.random()
    ambiguous_words = draw < _AMBIGUOUS_WORDS
    ambiguous_voice = not ambiguous_words and draw < _AMBIGUOUS_WORDS + _AMBIGUOUS_VOICE
    words = dice
    if "_script" in dialogue:
        # the same few lines in every session, as actors who read one script
        script = dialogue.split("_", 1)[1].rstrip("b")
        words = random.Random(f"{script}/{ambiguous_words}/{dice.randrange(8)}")
    return Turn(
        dialogue=dialogue,
        speaker=speaker,
        label=label,
        text=compose(label, ambiguous=ambiguous_words, dice=words),
        delivery=deliver(label, VOICES[speaker], ambiguous=ambiguous_voice, dice=dice),
        padding=(dice.uniform(0.1, 0.3), dice.uniform(0.05, 0.3)),
    )


def _add_quirks(turns: list[Turn], dice: random.Random) -> None:
    """Put each oddity of the real corpus into some turn; each turn gets one at most."""
    order = list(range(len(turns)))
    dice.shuffle(order)

    def change(index: int, *, text: str | None = None, alignment: AlignmentFiles | None = None) -> None:
        turn = turns[index]
        turns[index] = replace(turn, text=text or turn.text, alignment=alignment or turn.alignment)

    def any_of(label: str) -> int:
        index = next(index for index in order if turns[index].label == label)
        order.remove(index)
        return index

    long, short = any_of("neu"), any_of("neu")
    delivery = replace(turns[long].delivery, rate=160)
    turns[long] = replace(turns[long], text=monologue(102, dice), delivery=delivery)
    delivery = replace(turns[short].delivery, rate=260)
    turns[short] = replace(turns[short], text="No.", delivery=delivery, padding=(0.2, 0.2))
    free = iter(order)
    change(next(free), text="We sat in the café with Nina.")
    change(next(free), text="I put it\ton the table.")
    change(next(free), text="[LAUGHTER]", alignment=AlignmentFiles.HEADERS_ONLY)
    change(next(free), text="[BREATHING]", alignment=AlignmentFiles.EMPTY)
    change(next(free), text="[LAUGHTER]")
    for tag in ("[GARBAGE]", "[LIPSMACK]", "[laughter]"):
        index = next(free)
        change(index, text=f"{turns[index].text} {tag}")
    for _ in range(max(2, len(turns) // 50)):
        change(next(free), alignment=AlignmentFiles.NONE)
    for _ in range(max(2, len(turns) // 40)):
        change(next(free), alignment=AlignmentFiles.NO_SYLLABLES)
    for _ in range(max(1, len(turns) // 60)):
        index = next(free)
        change(index, text=f"[BREATHING] {turns[index].text}")
        index = next(free)
        words = turns[index].text.split(" ")
        words.insert(dice.randrange(1, len(words)), "[LAUGHTER]")
        change(index, text=" ".join(words))
    for _ in range(max(2, len(turns) // 5)):
        index = next(free)
        change(index, text=turns[index].text.replace(". ", ".  ").replace(", ", ",  "))
