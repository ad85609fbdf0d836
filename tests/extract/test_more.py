"""What a corpus says of an utterance beside its fields goes through a shard and back; without it nothing changes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mer.corpus import Utterance
from mer.extract.inputs import fingerprint, make_record

PLAIN = Utterance(id="a", wav=Path("none.wav"), text="yes", label="joy", speaker="s", session="1")


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({"split": "dev"}, {"split": "dev"}),
        ({"votes": {"joy": 2, "grief": 1}}, {"votes": {"joy": 2, "grief": 1}}),
        ({"columns": {"age": "30"}}, {"columns": {"age": "30"}}),
        ({"start": 1.5, "end": 2.0}, None),
        ({"attributes": (1.0, 2.5, 4.0)}, {"attributes": [1.0, 2.5, 4.0]}),
        ({"attributes": (1.0, 2.5, 4.0), "votes": {"joy": 3}}, {"attributes": [1.0, 2.5, 4.0], "votes": {"joy": 3}}),
    ],
)
def test_what_else_is_said_is_kept_and_marks_the_inputs(changed: dict[str, object], kept: dict[str, object] | None) -> None:
    said = replace(PLAIN, **changed)  # type: ignore[arg-type]
    record = make_record(said, 1.0, "none", "f")
    assert (json.loads(record.more) if record.more else None) == kept
    # Valence, activation, dominance and votes beside them came to caches later: those that lack them are not stale.
    assert (fingerprint(said) == fingerprint(PLAIN)) is ("attributes" in changed)
    assert make_record(PLAIN, 1.0, "none", "f").more == ""
