"""A window over a stream: the largest first, no more held than the window."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mer.backends import Slot, Unit, UnitDone
from mer.backends.look_ahead import LookAhead
from mer.tests.backends.toy_work import ToyWork, ToyWorker, unit


def names(ahead: LookAhead) -> list[str]:
    return [taken.name for taken in iter(ahead.take, None)]


@given(costs=st.lists(st.floats(0, 9), max_size=30), size=st.integers(1, 8))
def test_each_is_the_largest_of_the_window_then_and_the_first_of_equals(costs: list[float], size: int) -> None:
    units = [unit(str(number), cost=cost) for number, cost in enumerate(costs)]
    expected, window, rest = [], units[:size], units[size:]
    while window:
        chosen = sorted(window, key=lambda unit: (-unit.cost, int(unit.name)))[0]
        window.remove(chosen)
        window += rest[:1]
        rest = rest[1:]
        expected.append(chosen.name)
    assert names(LookAhead(ToyWork(Path("/nowhere")), units, size=size, tell=print)) == expected


def test_done_units_take_no_place_in_the_window_and_are_told(tmp_path: Path) -> None:
    worker = ToyWorker(tmp_path, Slot(number=0, device="cpu", threads=1))
    units = [unit(str(number)) for number in range(20)]
    for done in units[:15]:
        worker.commit(done)
    told: list[object] = []
    ahead = LookAhead(ToyWork(tmp_path), units, size=3, tell=told.append)
    assert ahead.fill() == 3
    assert told == [UnitDone(name=str(number)) for number in range(15)]


def test_a_unit_that_others_did_while_it_waited_is_not_taken(tmp_path: Path) -> None:
    units: list[Unit] = [unit("a"), unit("b"), unit("c")]
    told: list[object] = []
    ahead = LookAhead(ToyWork(tmp_path), units, size=3, tell=told.append)
    assert ahead.fill() == 3
    ToyWorker(tmp_path, Slot(number=0, device="cpu", threads=1)).commit(units[1])
    assert names(ahead) == ["a", "c"]
    assert told == [UnitDone(name="b")]
