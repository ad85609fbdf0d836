"""A head of the user's own is trained as every head is: alone as in a stack, resumed as uninterrupted, of its own seed."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from mer.heads import HEADS, HeadConfig, HeadError, Needs, OwnHead, RunDone, StackedUnits, Units, head_of, train_head
from mer.heads.fusion.build_head import build_head
from mer.heads.fusion.head import Head
from mer.heads.fusion.own_head import one_by_one
from mer.heads.kinds import SHAPE_OPTIONS
from mer.heads.stacked.grouped import grouped_linear
from mer.heads.stacked.packed_mean import packed_mean

CacheMaker = Callable[..., Any]


class Padded(nn.Module):
    """Draws weights and dropout from PyTorch's own generator, and has a buffer that training changes."""

    learning_rate = 0.02
    needs = Needs.SEVERAL

    def __init__(self, dims: Mapping[str, int], classes: int, *, dropout: float, scale: float = 1.0, deep: bool = False) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({name: nn.Linear(dim, 1) for name, dim in dims.items()})
        self.norm = nn.BatchNorm1d(sum(dims.values()))
        self.dropout, self.scale, self.deep = nn.Dropout(dropout), scale, deep
        self.output = nn.Linear(sum(dims.values()), classes)

    def forward(self, units: Mapping[str, Units]) -> Tensor:
        pooled = []
        for name, each in units.items():
            padded = each.padded()
            scores = self.attention[name](padded)[..., 0].masked_fill(~each.mask(), -torch.inf)
            pooled.append((scores.softmax(1)[..., None] * padded).sum(1))
        logits: Tensor = self.scale * self.output(self.dropout(self.norm(torch.cat(pooled, 1))))
        return logits


class Fast(nn.Module):
    """Means and a linear layer, in both forms."""

    learning_rate = 0.02

    def __init__(self, dims: Mapping[str, int], classes: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.output, self.scale = nn.Linear(sum(dims.values()), classes), scale

    def forward(self, units: Mapping[str, Units]) -> Tensor:
        logits: Tensor = self.scale * self.output(torch.cat([each.mean() for each in units.values()], 1))
        return logits

    @classmethod
    def stacked(
        cls, modules: Sequence["Fast"], units: Mapping[str, StackedUnits], generators: Sequence[torch.Generator] | None
    ) -> Tensor:
        means = torch.cat([packed_mean(each.values, each.lengths) for each in units.values()], 1)
        layers = [module.output for module in modules]
        sizes = next(iter(units.values())).utterances
        return modules[0].scale * grouped_linear(means, [each.weight for each in layers], [each.bias for each in layers], sizes)


class Rateless(nn.Module):
    def __init__(self, dims: Mapping[str, int], classes: int) -> None:
        super().__init__()


class Unready(Rateless):
    def __init__(self, dims: Mapping[str, int], classes: int, *, tree: object) -> None:
        super().__init__(dims, classes)


def config(name: str = "Padded", **changes: Any) -> HeadConfig:
    values: dict[str, Any] = {
        "granularities": ("F",),
        "batch": 16,
        "max_epochs": 6,
        "patience": 2,
        "seeds": (0, 1),
        "device": "cpu",
    }
    return HeadConfig(fusion=f"{__name__}:{name}", **{**values, **changes})


def logits_of(directory: Path) -> dict[str, np.ndarray]:
    return dict(load_file(directory / "logits.safetensors"))


def test_a_head_of_ones_own_gives_alone_what_it_gives_in_a_stack(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = make_cache()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    stacked = train_head(cache, config(stack=6), tmp_path / "stacked")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    alone = train_head(cache, config(stack=1), tmp_path / "alone")
    ours, theirs = logits_of(stacked.directory), logits_of(alone.directory)
    assert len(ours) == 6
    for run, values in ours.items():
        np.testing.assert_allclose(values, theirs[run], atol=1e-4)
    assert not np.allclose(ours["fold1-seed0"], ours["fold1-seed1"])
    epochs = {(run["epochs"], run["best_epoch"]) for run in stacked.values["runs"]}
    assert len(epochs) > 1, "each run stops by itself"
    assert stacked.values["summary"]["all"]["ua"]["mean_of_folds"] > 0.5


def test_an_interrupted_head_of_ones_own_goes_on_to_the_same_result(make_cache: CacheMaker, tmp_path: Path) -> None:
    cache = make_cache()

    def stop(event: object) -> None:
        if isinstance(event, RunDone) and event.over == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_head(cache, config(stack=1), tmp_path / "stopped", progress=stop)
    resumed = train_head(cache, config(stack=1), tmp_path / "stopped")
    whole = train_head(cache, config(stack=1), tmp_path / "whole")
    ours, theirs = logits_of(resumed.directory), logits_of(whole.directory)
    assert ours.keys() == theirs.keys()
    for run, values in ours.items():
        np.testing.assert_array_equal(values, theirs[run])


def test_a_stacked_form_gives_what_forward_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes, lengths = {"F": (2, 3), "T": (2, 4)}, torch.tensor([2, 1, 3, 1, 1])
    heads = [build_head(config("Fast"), shapes, 4, seed, "1") for seed in (0, 1)]
    units = {
        name: StackedUnits(values=torch.randn(8, dim), lengths=lengths, sizes=(3, 5), utterances=(2, 3))
        for name, (_, dim) in shapes.items()
    }
    fast = OwnHead.logits(heads, units, None)
    monkeypatch.delattr(Fast, "stacked")
    slow = OwnHead.logits(heads, units, None)
    modules = [head.module for head in heads if isinstance(head, OwnHead)]
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(slow, one_by_one(modules, units, None))  # gains are 1 and biases 0 at first
    assert not torch.allclose(slow, slow.roll(1, 0))


def test_own_options_are_part_of_the_identity_only_when_they_are_set() -> None:
    plain, set_to = config(), config(head_options=("scale=2", "deep=true"))
    assert "head_options" not in plain.identity()
    assert set_to.identity()["head_options"] == ["deep=true", "scale=2"]
    head = build_head(set_to, {"F": (2, 3), "T": (2, 3)}, 4, 0, "1")
    assert isinstance(head, OwnHead)
    assert isinstance(head.module, Padded)
    assert (head.module.scale, head.module.deep) == (2.0, True)
    assert "hidden" not in plain.identity()
    assert plain.identity()["dropout"] == 0.2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "Nobody"}, "has no class 'Nobody'"),
        ({"name": "Rateless"}, "does not say one: give it, or write it into the class"),
        ({"name": "Unready"}, "its option 'tree' needs a default that is a bool, int, float or str"),
        ({"head_options": ("scalee=2",)}, r"did you mean 'scale'\? expected name=value, with scale=1.0, deep=False"),
        ({"head_options": ("scale=much",)}, "scale must be a float"),
        ({"head_options": ("deep=1",)}, "deep must be a bool"),
        ({"modality": "speech"}, "needs two or more granularities, got F"),
    ],
)
def test_what_is_wrong_with_a_head_of_ones_own_is_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises(HeadError, match=message):
        config(**values)


@pytest.mark.parametrize("name", ["late", "linear", "transformer", "coattention", "concatenation"])
def test_the_options_of_a_head_are_those_of_its_constructor(name: str) -> None:
    kind = HEADS[name]
    assert issubclass(kind.load(), Head)
    assert kind.options == SHAPE_OPTIONS & set(inspect.signature(kind.load()).parameters)
    assert head_of(kind.load()).options == kind.options


def test_an_unknown_head_is_refused_and_never_another_one() -> None:
    with pytest.raises(HeadError, match=r"unknown fusion head 'lat' \(did you mean 'late'\?\): expected one of late, linear"):
        HeadConfig(fusion="lat")
