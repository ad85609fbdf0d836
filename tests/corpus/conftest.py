"""A builder of tiny IEMOCAP releases, byte for byte in the formats of the real one, with invented texts."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Turn = tuple[str, str, str]  # ("F000", "neu", "Well, here we are.")


def write_dialogue(root: Path, dialogue: str, turns: Sequence[Turn]) -> None:
    session = root / f"Session{dialogue[4]}"
    labels = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"]
    texts = []
    for i, (turn, label, text) in enumerate(turns):
        name, start, end = f"{dialogue}_{turn}", 6.2901 + 2 * i, 8.2357 + 2 * i
        labels.append(
            f"[{start:.4f} - {end:.4f}]\t{name}\t{label}\t[2.5000, 2.5000, 2.5000]\n"
            "C-E2:\tNeutral; Anger;\t()\nC-F1:\tNeutral;\t(hm :) [so])\n"
            "A-E3:\tval 3; act 2; dom  2;\t()\nA-E4:\tval 2; act 3; dom  ;\t(odd)\n\n"
        )
        texts.append(f"{name} [{start:08.4f}-{end:08.4f}]: {text}\n")
        wav = session / "sentences" / "wav" / dialogue / f"{name}.wav"
        aligned = session / "sentences" / "ForcedAlignment" / dialogue
        wav.parent.mkdir(parents=True, exist_ok=True)
        wav.touch()
        aligned.mkdir(parents=True, exist_ok=True)
        (aligned / f"{name}.wdseg").write_bytes(sphinx_file("Word", [(0, 2, "<s>"), (3, 20, "DO(2)")]))
        (aligned / f"{name}.phseg").write_bytes(
            sphinx_file("Phone", [(0, 2, "SIL"), (3, 9, "D SIL UW b"), (10, 20, "UW D SIL e")])
        )
        (aligned / f"{name}.syseg").write_bytes(b" SFrm  EFrm Syllable\n    3    20 D_UW\n")
    for folder, content in (("EmoEvaluation", labels), ("transcriptions", texts)):
        path = session / "dialog" / folder / f"{dialogue}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(content), encoding="ascii", newline="\n")


def sphinx_file(column: str, rows: Sequence[tuple[int, int, str]]) -> bytes:
    """The printf formats of sphinx3_align; words have a score one character wider than phones."""
    width = 10 if column == "Word" else 9
    lines = [f"\t{'SFrm':>5} {'EFrm':>5} {'SegAScr':>{width}} {column}\n"]
    lines += [f"\t{first:5d} {last:5d} {-1000 * last:{width}d} {label}\n" for first, last, label in rows]
    return "".join([*lines, f" Total score: {-171399:11d}\n"]).encode("latin-1")


@pytest.fixture
def make_release(tmp_path: Path) -> Callable[[dict[str, list[Turn]]], Path]:
    """`make_release({"Ses01F_impro01": [("F000", "neu", "Text.")]})` gives the root of a release."""

    def make(dialogues: dict[str, list[Turn]]) -> Path:
        root = tmp_path / "release"
        for dialogue, turns in dialogues.items():
            write_dialogue(root, dialogue, turns)
        return root

    return make
