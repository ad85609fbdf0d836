"""AdamW with a warm-up, clipping, and a state that is saved by the names of the parameters."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mer.finetune.config import FinetuneConfig
from mer.finetune.model import FinetuneModel
from mer.finetune.schedule import rate_factor


class Optimizer:
    """Steps of AdamW (Loshchilov and Hutter 2019) over a whole run; betas 0.9 and 0.999, eps 1e-8."""

    def __init__(self, model: FinetuneModel, config: FinetuneConfig, steps: int) -> None:
        """Look at the parameters; nothing has moved yet.

        Args:
            model: on its device, as after a checkpoint was loaded into it.
            config: rates, decay, warm-up and clipping.
            steps: of the whole run.
        """
        self._config, self._steps = config, steps
        groups = model.parameter_groups(config)
        self.inner: Any = torch.optim.AdamW(groups, fused=True)
        self._rates = [group["lr"] for group in groups]
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._parameters = [parameter for group in groups for parameter in group["params"]]
        self._names = [names[id(parameter)] for parameter in self._parameters]

    def zero(self) -> None:
        """Forget the gradients of the last step."""
        self.inner.zero_grad()

    def clip(self) -> Float[Tensor, ""]:
        """The norm of all gradients, on their device; they are then scaled down to `config.clip` if they are larger."""
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self._config.clip:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self._config.clip, norm)
        return norm

    def step(self, number: int) -> float:
        """Move the weights.

        Args:
            number: of the step in the run, from 0.

        Returns:
            What the rates were multiplied with.
        """
        factor = rate_factor(number, self._steps, self._config.warmup)
        for group, rate in zip(self.inner.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        self.inner.step()
        return factor

    def state(self) -> dict[str, Tensor]:
        """`exp_avg.NAME` and the like, on the CPU."""
        found: Mapping[int, Mapping[str, Tensor]] = self.inner.state_dict()["state"]
        return {
            f"{key}.{self._names[number]}": value.detach().to("cpu", copy=True)
            for number, values in found.items()
            for key, value in values.items()
        }

    def load_state(self, saved: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave, on the device of the parameters."""
        places = {name: number for number, name in enumerate(self._names)}
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in saved.items():
            key, parameter = name.split(".", 1)
            state.setdefault(places[parameter], {})[key] = value
        self.inner.load_state_dict({"state": state, "param_groups": self.inner.state_dict()["param_groups"]})
