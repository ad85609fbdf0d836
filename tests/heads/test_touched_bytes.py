"""What a kernel says that it reads and writes is compared with what it does: wrong declarations are found."""

import pytest
import torch
from torch import Tensor

from mer.heads.stacked.device.launch import Launch, launch
from mer.tests.heads.touched_bytes import TouchedBytes, addresses_of, watched_kernels

pytest.importorskip("triton")


def problems_of(reads: list[int], writes: list[int], *, rows: int = 5, more_bytes: float = 0) -> list[str]:
    """Problems of a launch of `row_means` over 5 rows that says that it touches some of gradient, values and means."""
    from mer.heads.stacked.device.layer_kernels import row_means

    tensors: list[Tensor] = [torch.ones(5, 6), torch.ones(5, 6), torch.zeros(5, 2)]
    with watched_kernels() as found:
        launch(
            row_means, (2,), *tensors, rows, 6,
            reads=[tensors[each] for each in reads], writes=[tensors[each] for each in writes], more_bytes=more_bytes,
            ROWS=4, DIM=8,
        )  # fmt: skip
    assert found.kernels == {"row_means"}
    return found.problems


def test_a_true_declaration_has_no_problems() -> None:
    assert problems_of([0, 1], [2]) == []


@pytest.mark.parametrize(
    ("reads", "writes", "said"),
    [
        ([0], [2], "row_means reads 120 bytes of tensors that it does not name, and says 0"),
        ([0, 1, 2], [2], "row_means reads 0 values of a tensor (5, 2) in torch.float32, and says 10"),
        ([0, 1], [1], "row_means writes 40 bytes of tensors that it does not name"),
        ([0, 1], [1, 2], "row_means writes 0 values of a tensor (5, 6) in torch.float32, and says 30"),
    ],
)
def test_a_tensor_too_few_and_one_too_many_are_found(reads: list[int], writes: list[int], said: str) -> None:
    assert said in problems_of(reads, writes)


def test_so_is_a_tensor_of_which_a_part_is_left_out_and_bytes_that_nobody_reads() -> None:
    assert any("reads 24 values of a tensor (5, 6)" in each for each in problems_of([0, 1], [2], rows=4))
    assert any(
        "reads 0 bytes of tensors that it does not name, and says 8" in each for each in problems_of([0, 1], [2], more_bytes=8)
    )


def test_so_are_two_programs_that_store_to_one_address() -> None:
    out, found = torch.zeros(2), TouchedBytes()
    found.begin(Launch(name="sums", reads=[], writes=[out], more_bytes=0, flops=0))
    for place in (0, 1, 1):
        found.note(addresses_of(out[place : place + 1]), 4, stored=True)
    found.end()
    assert found.problems == ["sums stores to an address twice: the order of programs would decide"]
