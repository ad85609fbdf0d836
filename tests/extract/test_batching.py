from hypothesis import given
from hypothesis import strategies as st

from mer.extract.batching import batches_by_budget


@given(sizes=st.lists(st.floats(0.1, 40), max_size=40), budget=st.floats(1, 100))
def test_every_item_is_in_one_batch_within_the_padded_budget(sizes: list[float], budget: float) -> None:
    batches = batches_by_budget(sizes, budget)
    assert sorted(position for batch in batches for position in batch) == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(sizes[p] for p in batch) <= budget


def test_the_longest_batch_comes_first() -> None:
    assert batches_by_budget([1.0, 5.0, 2.0, 5.0], 10.0) == [[1, 3], [2, 0]]


def test_without_a_budget_each_item_is_alone_and_in_order() -> None:
    assert batches_by_budget([3.0, 1.0], None) == [[0], [1]]
