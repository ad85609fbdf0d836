import re

import pytest

from mer.backends import Notice, TaskDone, TaskFailed, WorkerLost
from mer.extract.progress import Begun, Committed, Encoded, EventCounter, ExtractionProgress


def counter(seen: list[ExtractionProgress], notices: list[str]) -> EventCounter:
    found = EventCounter(seen.append, notices.append, size_of=lambda name: 70)
    found.expect("a", 10, 20.0)
    found.expect("b", 5, 9.0)
    return found


def tell(count: EventCounter, *events: object) -> None:
    for event in events:
        count(event)


def test_what_workers_tell_adds_up_to_the_totals() -> None:
    seen: list[ExtractionProgress] = []
    count = counter(seen, [])
    tell(count, Begun("a"), Encoded("a", 6, 12.0), Begun("b"), Encoded("b", 5, 9.0), Encoded("a", 4, 8.0))
    assert seen[-1] == ExtractionProgress(utterances=15, utterances_total=15, seconds=29.0, seconds_total=29.0, bytes=0)
    tell(count, Committed("b", 30), TaskDone(name="b"), Committed("a", 50), TaskDone(name="a"))
    assert seen[-1] == ExtractionProgress(utterances=15, utterances_total=15, seconds=29.0, seconds_total=29.0, bytes=80)
    assert (count.done, count.repeated_seconds) == ({"a", "b"}, 0.0)
    assert len(seen) == 9


def test_a_shard_that_is_begun_again_counts_once_and_the_rest_as_repeated() -> None:
    seen: list[ExtractionProgress] = []
    count = counter(seen, [])
    tell(count, Begun("a"), Encoded("a", 6, 12.0), Begun("a"))
    assert (seen[-1].utterances, seen[-1].seconds, count.repeated_seconds) == (0, 0.0, 12.0)
    tell(count, Encoded("a", 10, 20.0), Committed("a", 1))
    assert (seen[-1].utterances, seen[-1].seconds, count.repeated_seconds) == (10, 20.0, 12.0)


def test_a_shard_of_a_worker_that_cannot_be_heard_counts_when_it_is_there() -> None:
    seen: list[ExtractionProgress] = []
    count = counter(seen, [])
    count(TaskDone(name="a"))
    assert seen[-1] == ExtractionProgress(utterances=10, utterances_total=15, seconds=20.0, seconds_total=29.0, bytes=70)
    count(TaskDone(name="a"))
    assert (seen[-1].utterances, seen[-1].bytes) == (10, 70)


def test_a_shard_that_another_command_commits_first_was_encoded_in_vain() -> None:
    seen: list[ExtractionProgress] = []
    count = counter(seen, [])
    tell(count, Begun("a"), Encoded("a", 6, 12.0), TaskDone(name="a"))
    assert (seen[-1].utterances, seen[-1].seconds, count.repeated_seconds, count.done) == (10, 20.0, 12.0, {"a"})


def test_a_shard_that_fails_leaves_the_count_and_is_said() -> None:
    seen: list[ExtractionProgress] = []
    notices: list[str] = []
    count = counter(seen, notices)
    tell(count, Begun("a"), Encoded("a", 6, 12.0), TaskFailed(name="a", reason="no memory (on n1)", tries=2))
    assert (seen[-1].utterances, count.repeated_seconds, count.done) == (0, 12.0, set())
    assert notices == ["shard a was given up at try 2: no memory (on n1)"]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (WorkerLost(number=1, host="n2", reason="a worker process was killed by SIGKILL"), r"SIGKILL \(worker 1 on n2\)"),
        (Notice(text="logs are in x"), "^logs are in x$"),
    ],
)
def test_what_a_backend_says_is_passed_on(event: object, words: str) -> None:
    notices: list[str] = []
    counter([], notices)(event)
    (said,) = notices
    assert re.search(words, said)
