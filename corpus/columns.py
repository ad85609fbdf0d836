"""What the columns of a table of utterances are called, in the spellings that people use."""

import re
from collections.abc import Sequence
from functools import lru_cache

REQUIRED = ("id", "wav", "label", "speaker", "session")
OPTIONAL = ("text", "dialogue", "style", "textgrid", "seconds", "channel", "split", "votes", "valence", "activation", "dominance")
UNUSED = frozenset({"dataset", "type", "sample_rate", "length", "num_frame", "task", "channels", "lang"})
"""EmoBox's other columns, known and not needed."""
SPELLINGS = {
    "id": "id key utt utt_id utterance_id uttid uid",
    "wav": "wav path file filename file_name filepath file_path audio audio_path audio_file wav_path wav_file",
    "label": "label emotion emo emotion_label emoclass",
    "text": "text transcription sentence transcript utterance",
    "speaker": "speaker spk speaker_id spk_id spkr spkr_id actor",
    "session": "session session_id",
    "dialogue": "dialogue dialog dialogue_id dialog_id conversation conversation_id",
    "split": "split set partition subset fold split_set",
    "votes": "votes annotations",
    "valence": "valence emoval",
    "activation": "activation arousal emoact",
    "dominance": "dominance emodom",
    **{name: name for name in ("style", "textgrid", "seconds", "channel")},
}
"""Column to the names it may have, the first that is there; case, spaces, `_` and `-` do not matter."""


def canonical(given: Sequence[str]) -> tuple[str, ...]:
    """The names of a row's columns: those of `SPELLINGS` where they mean one of them, others as they are."""
    plain = [_plain(name) for name in given]
    names = [name.strip() for name in given]
    taken = set[int]()
    for column, spellings in SPELLINGS.items():
        for spelling in spellings.split():
            place = next((at for at, name in enumerate(plain) if name == _plain(spelling) and at not in taken), None)
            if place is not None:
                names[place] = column
                taken.add(place)
                break
    if "key" in plain and names[plain.index("key")] == "id":  # EmoBox: its length is in seconds, its channel a number of them
        rename = {"channel": "channels", **({} if "seconds" in names else {"length": "seconds"})}
        names = [rename.get(name, name) for name in names]
    first = {name: at for at, name in reversed(list(enumerate(names)))}
    return tuple(f"{name} ({at})" if first[name] < at else name for at, name in enumerate(names))


def known(given: Sequence[str]) -> int:
    """How many columns of a header mean something."""
    return len(set(canonical(given)) & set(SPELLINGS))


def second_choices(given: Sequence[str]) -> list[tuple[str, str, str]]:
    """Columns that could be what another one is taken for: such a column, the one that is taken, and what for."""
    names = dict(zip(given, canonical(given), strict=True))
    taken = {column: name for name, column in names.items()}
    return [
        (name, taken[column], column)
        for name in given
        for column, spellings in SPELLINGS.items()
        if names[name] not in SPELLINGS and column in taken and _plain(name) in map(_plain, spellings.split())
    ]


@lru_cache(maxsize=4096)  # the spellings, and the columns of some files
def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())
