"""A run that is normalised by speaker answers for the recordings of a call together, and says what it took as one speaker's."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mer.corpus import open_corpus
from mer.predict import Failure, PredictError, Prediction, Predictor, predictor, read_recordings

Loader = Callable[..., Predictor]


def predicted(found: list[Prediction | Failure]) -> dict[str, Prediction]:
    assert all(isinstance(each, Prediction) for each in found)
    return {each.id: each for each in found if isinstance(each, Prediction)}


def test_small_pieces_give_what_one_piece_gives(loaded: Loader, trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    utterances, runs = list(open_corpus(trained.corpus))[:6], loaded("by-speaker")
    together = predicted(runs.predict_many(utterances))
    monkeypatch.setattr(predictor, "CHUNK_SECONDS", 0.7)
    apart = predicted(runs.predict_many(utterances))
    for name, each in together.items():
        for run, logits in each.logits.items():
            assert apart[name].logits[run] == pytest.approx(logits, rel=1e-4, abs=1e-5)
    # Other recordings of the same speaker would change the answer; those of another speaker do not.
    other = predicted(runs.predict_many([each for each in utterances if each.speaker == utterances[0].speaker]))
    first = utterances[0].id
    run = next(iter(other[first].logits))
    assert other[first].logits[run] == pytest.approx(together[first].logits[run], rel=1e-4, abs=1e-5)


def test_without_speakers_all_are_one_and_the_answer_says_so(loaded: Loader, trained: Any) -> None:
    utterances = [dataclasses.replace(each, speaker="") for each in list(open_corpus(trained.corpus))[1:4]]
    found = predicted(loaded("by-speaker").predict_many(utterances))
    assert {each.notes[-1] for each in found.values()} == {
        "no speaker is named: normalised over all 3 recordings as one speaker's"
    }
    named = predicted(loaded("by-speaker").predict_many([dataclasses.replace(each, speaker="x") for each in utterances]))
    assert {name: each.logits for name, each in named.items()} == {name: each.logits for name, each in found.items()}


def test_the_only_recording_of_a_speaker_and_one_without_speaker_have_no_answer(loaded: Loader, trained: Any) -> None:
    first, second, third, fourth = list(open_corpus(trained.corpus))[1:5]
    asked = [dataclasses.replace(each, speaker=name) for each, name in ((first, "a"), (second, "a"), (third, "b"), (fourth, ""))]
    found = loaded("by-speaker").predict_many(asked)
    assert [type(each) for each in found] == [Prediction, Prediction, Failure, Failure]
    assert "this is the only one of speaker b in this call; give 2 or more together" in getattr(found[2], "reason", "")
    assert "names no speaker, and others of this call do" in getattr(found[3], "reason", "")
    with pytest.raises(PredictError, match=r"the only one of its speaker in this call; .* --normalize speech"):
        loaded("by-speaker").predict(first.wav, first.text)


def test_a_list_names_speakers_in_a_column(tmp_path: Path) -> None:
    rows = [{"wav": "a.wav", "speaker": "anna"}, {"wav": "b.wav", "spk": "ben"}, {"wav": "c.wav"}]
    (tmp_path / "new.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    found, failed = read_recordings(tmp_path / "new.jsonl")
    assert failed == []
    assert [each.speaker for each in found] == ["anna", "ben", ""]
