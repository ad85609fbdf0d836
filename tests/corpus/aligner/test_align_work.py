"""Pieces of a corpus as tasks: what is done twice, by several commands at once, or in part."""

import json
import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mer.backends import BackendError, LocalBackend, Slot, Task, TaskDone, TaskFailed, Work, WorkerLost
from mer.corpus import Corpus, Utterance
from mer.corpus.aligner import AlignerChoice, align_corpus, align_work, aligner_name
from mer.corpus.aligner.align_work import AlignWork, not_aligned, pieces
from mer.corpus.aligner.alignment_log import (
    LOG_NAME,
    PIECES,
    Outcome,
    input_fingerprint,
    keep_outcomes,
    merge_outcomes,
    open_log,
    outcomes_of,
    read_outcomes,
)

SLOT = Slot(number=0, device="cpu", threads=1)


def outcome(name: str, fingerprint: str = "0", reason: str = "") -> Outcome:
    return Outcome(id=name, fingerprint=fingerprint, seconds=1.0, reason=reason, unknown=("w",))


@pytest.fixture
def few(spoken: Any, plain: list[Utterance], monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Six utterances in pieces of two or three."""
    monkeypatch.setattr(align_work, "PIECE_SECONDS", 4.0)
    corpus: Corpus = replace(spoken.corpus, utterances=tuple(plain[:6]))
    assert len(list(pieces(corpus))) >= 2
    return corpus


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_pieces_hold_every_utterance_once_in_order(few: Corpus) -> None:
    made = list(pieces(few))
    assert [u.id for task in made for u in task.content] == [u.id for u in few]
    assert len({task.name for task in made}) == len(made)
    assert all(task.cost >= 4.0 for task in made[:-1])
    assert made == list(pieces(few))
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_piece_is_full_by_seconds_or_by_count(few: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(align_work, "PIECE_UTTERANCES", 1)
    assert [len(task.content) for task in pieces(few)] == [1] * 6
    gone = [replace(u, wav=Path("gone.wav")) for u in few]
    monkeypatch.setattr(align_work, "PIECE_UTTERANCES", 4)
    assert [(len(task.content), task.cost) for task in pieces(gone)] == [(4, 1.0), (2, 1.0)]
    assert all(u.wav.is_absolute() for task in pieces(gone) for u in task.content)


def test_shares_of_several_commands_make_the_whole(few: Corpus, tmp_path: Path) -> None:
    whole = align_corpus(few, tmp_path / "whole", workers=1)
    first = align_corpus(few, tmp_path / "out", workers=1, shard=(0, 2))
    assert 0 < first.made < 6
    assert (first.aligned, first.waiting) == (first.made, 6 - first.made)
    assert list((tmp_path / "out" / PIECES).iterdir())
    again = align_corpus(few, tmp_path / "out", workers=1, shard=(0, 2))
    assert (again.made, again.aligned) == (0, first.made)
    second = align_corpus(few, tmp_path / "out", workers=1, shard=(1, 2))
    assert (second.made, second.aligned, second.waiting) == (6 - first.made, 6, 0)
    one, two = files(tmp_path / "whole"), files(tmp_path / "out")
    assert sorted(one.pop(LOG_NAME).splitlines()) == sorted(two.pop(LOG_NAME).splitlines())
    assert one == two
    assert whole.aligned == 6


def test_a_share_that_is_no_share_is_refused(few: Corpus, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="shard rank 2 of 2"):
        align_corpus(few, tmp_path, shard=(2, 2))


def test_a_piece_that_two_workers_do_is_the_same_twice(few: Corpus, tmp_path: Path) -> None:
    open_log(tmp_path, aligner_name())
    work = AlignWork.of(tmp_path, AlignerChoice())
    task = next(pieces(few))
    told: list[object] = []
    assert not work.is_done(task)
    with work.open(SLOT) as one, work.open(SLOT) as other:
        one.do(task, share=1.0, tell=told.append)
        before = files(tmp_path)
        other.do(task, share=0.5, tell=told.append)
    assert told == [TaskDone(name=task.name)] * 2
    assert files(tmp_path) == before
    assert work.is_done(task)
    (tmp_path / next(name for name in before if name.endswith(".TextGrid"))).unlink()
    assert not work.is_done(task)


def test_a_piece_is_still_done_when_somebody_has_merged_it(few: Corpus, tmp_path: Path) -> None:
    align_corpus(few, tmp_path, workers=1)
    work = AlignWork.of(tmp_path, AlignerChoice())
    task = next(pieces(few))
    assert not (tmp_path / PIECES).exists()
    assert work.is_done(task)
    other = replace(task, content=(replace(task.content[0], text="something else"), *task.content[1:]))
    assert not work.is_done(other)


def test_what_is_aligned_of_a_piece_before_an_interruption_is_kept(
    few: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = align_work._align_one
    done: list[str] = []
    first, second = list(pieces(few))[:2]
    middle = len(first.content) + 1
    assert len(second.content) > 1

    def press_ctrl_c(utterance: Utterance, *rest: Any) -> Outcome:
        if len(done) == middle:
            raise KeyboardInterrupt
        done.append(utterance.id)
        return real(utterance, *rest)

    monkeypatch.setattr(align_work, "_align_one", press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        align_corpus(few, tmp_path, workers=1)
    assert sorted(read_outcomes(tmp_path)) == sorted(done)
    monkeypatch.setattr(align_work, "_align_one", real)
    summary = align_corpus(few, tmp_path, workers=1)
    assert (summary.made, summary.aligned) == (6 - middle, 6)
    assert not (tmp_path / PIECES).exists()


def test_a_node_with_another_aligner_is_refused(tmp_path: Path) -> None:
    work = replace(AlignWork.of(tmp_path, AlignerChoice()), aligner="pocketsphinx 1.0")
    with pytest.raises(BackendError, match=r"aligner pocketsphinx .* \(the launcher has pocketsphinx 1.0\)"), work.open(SLOT):
        pass


class Unlucky:
    """A backend whose first piece fails, after a worker was lost."""

    def run(self, work: Work, tasks: Iterable[Task], *, tell: Callable[[object], None]) -> tuple[TaskFailed, ...]:
        first, *rest = tasks
        tell(WorkerLost(number=3, host="far", reason="a worker process was killed by SIGKILL"))
        failed = TaskFailed(name=first.name, reason="no space left on device", tries=2)
        tell(failed)
        return (*LocalBackend(workers=1).run(work, rest, tell=tell), failed)


def test_pieces_that_are_given_up_are_told_and_tried_again(few: Corpus, tmp_path: Path) -> None:
    notices: list[str] = []
    seen: list[tuple[int, int]] = []
    lost = len(next(pieces(few)).content)
    summary = align_corpus(
        few,
        tmp_path,
        backend=Unlucky(),
        on_notice=notices.append,
        on_progress=lambda done, total, seconds: seen.append((done, total)),
    )
    assert (summary.aligned, summary.waiting, len(summary.given_up)) == (6 - lost, lost, 1)
    assert notices == [
        "a worker process was killed by SIGKILL (worker 3 on far); its utterances go to others, or to the next one there",
        f"{lost} utterances were given up at try 2: no space left on device",
    ]
    assert seen[-1] == (6, 6)
    assert (tmp_path / PIECES).is_dir()
    assert align_corpus(few, tmp_path, workers=1).waiting == 0


def test_an_outdated_outcome_of_a_piece_that_was_given_up_does_not_count(few: Corpus, tmp_path: Path) -> None:
    align_corpus(few, tmp_path, workers=1)
    changed = replace(few, utterances=tuple(replace(u, text=f"{u.text} or not") for u in few))
    lost = len(next(pieces(few)).content)
    assert align_corpus(changed, tmp_path, backend=Unlucky()).waiting == lost


def test_utterances_that_are_done_are_left_out_of_their_piece(few: Corpus, tmp_path: Path) -> None:
    task = next(pieces(few))
    first, *rest = task.content
    done = {first.id: outcome(first.id, input_fingerprint(first, "1"), "no transcript")}
    left = list(not_aligned([task, replace(task, content=(first,))], done, tmp_path, "1"))
    assert [(each.name, each.content) for each in left] == [(task.name, tuple(rest))]


def test_outcomes_of_a_piece_add_up_and_the_newest_counts(tmp_path: Path) -> None:
    open_log(tmp_path, "a")
    keep_outcomes(tmp_path, "piece", [outcome("x"), outcome("y")])
    keep_outcomes(tmp_path, "piece", [outcome("y", "1"), outcome("z")])
    expected = {"x": outcome("x"), "y": outcome("y", "1"), "z": outcome("z")}
    assert read_outcomes(tmp_path) == outcomes_of(tmp_path, "piece", "xyz") == expected
    assert outcomes_of(tmp_path, "piece", "xq") == {"x": outcome("x")}
    merge_outcomes(tmp_path, "a")
    assert read_outcomes(tmp_path) == outcomes_of(tmp_path, "piece", "xyz") == expected
    keep_outcomes(tmp_path, "piece", [outcome("x", "2")])
    assert read_outcomes(tmp_path)["x"] == outcomes_of(tmp_path, "piece", "xyz")["x"] == outcome("x", "2")
    merge_outcomes(tmp_path, "a")
    merge_outcomes(tmp_path, "a")
    assert read_outcomes(tmp_path) == {**expected, "x": outcome("x", "2")}
    assert len((tmp_path / LOG_NAME).read_text().splitlines()) == 4


def test_torn_and_temporary_files_are_left_out(tmp_path: Path) -> None:
    open_log(tmp_path, "a")
    keep_outcomes(tmp_path, "piece", [outcome("x")])
    (tmp_path / PIECES / ".other.jsonl.tmp").write_text("{")
    (tmp_path / PIECES / ".other.jsonl").write_bytes((tmp_path / PIECES / "piece.jsonl").read_bytes().replace(b'"x"', b'"y"'))
    (tmp_path / PIECES / "torn.jsonl").write_text('{"id": "z", "fing')
    assert read_outcomes(tmp_path).keys() == {"x"}


def test_a_second_command_that_begins_at_once_takes_the_log_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.glob

    def begin_between(self: Path, pattern: str) -> Any:
        found = list(listed(self, pattern))
        if pattern == "*.TextGrid" and not found:
            open_log_once(tmp_path)
        return iter(found)

    def open_log_once(folder: Path) -> None:
        monkeypatch.setattr(Path, "glob", listed)
        open_log(folder, "aligner 1")
        keep_outcomes(folder, "piece", [outcome("x")])

    monkeypatch.setattr(Path, "glob", begin_between)
    assert open_log(tmp_path, "aligner 2").keys() == {"x"}
    assert '"aligner 1"' in (tmp_path / LOG_NAME).read_text()


def test_a_flipped_bit_in_an_outcome_is_seen_and_a_line_without_a_check_is_read(tmp_path: Path) -> None:
    kept = outcome("utterance 1", "2")
    keep_outcomes(tmp_path, "piece", [kept])
    (file,) = (tmp_path / "outcomes").iterdir()
    whole, passed_over = file.read_bytes(), 0
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        found = read_outcomes(tmp_path)
        passed_over += not found
        assert found in ({}, {kept.id: kept}), bit
    assert passed_over > 7 * len(whole)
    row = json.loads(whole)
    del row["check"]
    file.write_text(json.dumps(row))
    assert read_outcomes(tmp_path) == {kept.id: kept}


def test_an_outcome_that_is_kept_again_stands_where_it_stood(tmp_path: Path) -> None:
    keep_outcomes(tmp_path, "piece", [outcome("b"), outcome("a"), outcome("c")])
    (file,) = (tmp_path / "outcomes").iterdir()
    whole = file.read_bytes()
    file.write_bytes(b"x" + whole)  # the first line is damaged
    keep_outcomes(tmp_path, "piece", [outcome("a")])
    assert file.read_bytes() == whole
    merge_outcomes(tmp_path, "aligner")
    keep_outcomes(tmp_path, "piece", [outcome("a")])
    merged = (tmp_path / "alignment.jsonl").read_bytes()
    merge_outcomes(tmp_path, "aligner")
    assert (tmp_path / "alignment.jsonl").read_bytes() == merged
