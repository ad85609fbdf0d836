import torch
from torch import Tensor, nn

from mer.extract.exact_padding import PerUtteranceGroupNorm

SAMPLES = (24, 11, 17)


def make_norm() -> PerUtteranceGroupNorm:
    torch.manual_seed(2)
    norm = nn.GroupNorm(4, 4).double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    return PerUtteranceGroupNorm(norm, kernel=4, stride=2)


def own_lengths() -> list[int]:
    return [(samples - 4) // 2 + 1 for samples in SAMPLES]


def states() -> Tensor:
    made = torch.randn(3, 4, max(own_lengths()), dtype=torch.float64)
    for row, length in enumerate(own_lengths()):
        made[row, :, length:] = 1e3  # whatever a convolution leaves there
    return made


def test_gradients_of_a_padded_batch_are_those_of_finite_differences() -> None:
    layer, batch = make_norm(), states().requires_grad_(True)
    layer.samples = list(SAMPLES)
    weight, bias = layer.norm.weight, layer.norm.bias

    def normalized(batch: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(layer, {"norm.weight": weight, "norm.bias": bias}, (batch,))
        return out

    assert torch.autograd.gradcheck(normalized, (batch, weight, bias))


def test_gradients_of_a_padded_batch_are_those_of_one_by_one() -> None:
    layer, batch = make_norm(), states().requires_grad_(True)
    towards = torch.randn_like(batch)
    layer.samples = list(SAMPLES)
    (layer(batch) * towards).sum().backward()
    found = [layer.norm.weight.grad, layer.norm.bias.grad]
    alone = make_norm()
    assert batch.grad is not None
    for row, length in enumerate(own_lengths()):
        own = batch.detach()[row : row + 1, :, :length].clone().requires_grad_(True)
        (alone.norm(own) * towards[row : row + 1, :, :length]).sum().backward()
        torch.testing.assert_close(batch.grad[row : row + 1, :, :length], own.grad, rtol=1e-12, atol=1e-12)
        assert not batch.grad[row, :, length:].any()
    torch.testing.assert_close(found, [alone.norm.weight.grad, alone.norm.bias.grad], rtol=1e-12, atol=1e-12)


def test_training_and_extraction_give_the_same_bits() -> None:
    layer, batch = make_norm(), states()
    layer.samples = list(SAMPLES)
    trained = layer(batch)
    assert trained.requires_grad
    with torch.no_grad():
        frozen = layer(batch)
    assert torch.equal(trained, frozen)
    for row, length in enumerate(own_lengths()):
        assert not frozen[row, :, length:].any()
