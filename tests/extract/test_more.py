"""What a corpus says of an utterance beside its fields goes through a shard and back; without it nothing changes."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from mer.cache import CacheFolder, Units, build_shard, open_cache
from mer.cache.verify import verify
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
    assert fingerprint(said) != fingerprint(PLAIN)
    # IEMOCAP's ratings came to caches later: those that lack them are not stale. A table with its ids has had them always.
    assert fingerprint(replace(said, id="Ses01F_impro01_M000")) != fingerprint(replace(PLAIN, id="Ses01F_impro01_M000"))
    old = replace(PLAIN, rated_later=True)
    assert (fingerprint(replace(old, **changed)) == fingerprint(old)) is (changed.keys() <= {"attributes", "votes"})  # type: ignore[arg-type]
    assert make_record(PLAIN, 1.0, "none", "f").more == ""


def test_it_goes_through_a_shard_and_back_and_leaves_no_trace_where_there_is_none(tmp_path: Path) -> None:
    said = replace(PLAIN, id="b", split="dev", votes={"joy": 2, "grief": 1}, columns={"age": "30", "é": "ü"})
    spec = {
        "format_version": 1,
        "corpus": {"name": "toy", "kind": "manifest", "synthetic": True},
        "granularities": ["F"],
        "layers": {"speech": [1]},
        "dim": {"speech": 2},
        "storage": {"dtype": "float16"},
    }
    folder = CacheFolder.create(tmp_path, spec)
    units = {"F": Units(data=np.ones((3, 1, 2), dtype=np.float16), span=None, labels=None)}
    plain, told = (make_record(each, 1.0, "none", "0" * 64) for each in (PLAIN, said))
    for number, records in enumerate(([plain], [replace(plain, id="c"), told])):
        folder.commit(f"session1-{number:03}", build_shard(spec, [(each, units) for each in records], ()), {})
    table = open_cache(folder.path).utterances
    assert dict(zip(table.ids, table.more, strict=True)) == {
        "a": {},
        "b": {"split": "dev", "votes": {"joy": 2, "grief": 1}, "columns": {"age": "30", "é": "ü"}},
        "c": {},
    }
    assert not verify(folder, full=True).findings
    names = []
    for shard in sorted(folder.path.glob("shards/*.h5")):
        with h5py.File(shard) as file:
            names.append(set(file["utterance"]))  # pyright: ignore[reportArgumentType]
    assert names[1] - names[0] == {"more"}
