"""Which numbers are the layers of an encoder, stated here rather than taken as a version of `transformers` hands them out.

With N transformer layers, layer 0 is the input of the first one, layer i below N the output of the i-th, and layer N the
encoder's own `last_hidden_state`. Where an encoder ends in a norm (the "large" ones of the wav2vec 2.0 family, ModernBERT),
layer N carries it and the layers below do not: `transformers` puts it on its last hidden state in some versions
(4.57, 5.0 to 5.14 for the speech encoders) and not in others (5.16 and newer).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from mer.extract.pretrained import EncoderError

CLOSING_NORM = "with the closing norm"
"""In a cache's identity: what its last layer is, for encoders whose last layer was once as `transformers` had it."""


class LayerTap:
    """Reads the layers of a speech encoder at its modules, while it runs.

    Nothing of `output_hidden_states` is used, an adapter behind the encoder (`add_adapter`) is never seen, and only the
    wanted layers are kept in memory.
    """

    def __init__(self, encoder: nn.Module, blocks: Sequence[nn.Module], layers: Sequence[int], count: int, title: str) -> None:
        """Listen at the modules of a model.

        Args:
            encoder: whose output is layer N.
            blocks: layer 1 to N in it; the input of the first is layer 0.
            layers: numbers of the wanted layers.
            count: N, as the config has it.
            title: option and checkpoint, for errors.

        Raises:
            EncoderError: another number of layers than the config says.
        """
        if len(blocks) != count:
            raise EncoderError(
                f"{title}: its config says {count} layers, the installed transformers builds {len(blocks)}; "
                "layers could not be told apart. Install a version of transformers that mer is tested with (constraints.txt)"
            )
        self._layers, self._count, self._title = tuple(layers), count, title
        self._seen: dict[int, list[Tensor | None]] | None = None
        blocks[0].register_forward_pre_hook(self._first_input, with_kwargs=True)
        for number, block in enumerate(blocks[:-1], start=1):
            block.register_forward_hook(partial(self._output, number))
        encoder.register_forward_hook(partial(self._output, count))

    def run(self, forward: Any) -> list[Tensor]:
        """The wanted layers of one forward pass, each (batch, frames, dim), in the order asked for.

        Args:
            forward: calls the model; what it returns is not looked at.

        Raises:
            EncoderError: a layer that did not run exactly once.
        """
        with self._listening() as seen:
            forward()
        odd = [number for number in range(self._count + 1) if len(seen.get(number, [])) != 1]
        if odd:
            raise EncoderError(
                f"{self._title}: expected the layers 0-{self._count} once each in a forward pass, found layer "
                f"{odd[0]} {len(seen.get(odd[0], []))} times; install a version of transformers that mer is tested with "
                "(constraints.txt)"
            )
        states = [seen[number][0] for number in self._layers]
        return [state for state in states if state is not None]

    @contextmanager
    def _listening(self) -> Iterator[dict[int, list[Tensor | None]]]:
        self._seen = {}
        try:
            yield self._seen
        finally:
            self._seen = None

    def _first_input(self, module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        self._keep(0, inputs[0] if inputs else options["hidden_states"])

    def _output(self, number: int, module: nn.Module, inputs: object, output: Any) -> None:
        # Some versions and architectures hand on a tuple that the states are the first of.
        self._keep(number, output if isinstance(output, Tensor) else output[0])

    def _keep(self, number: int, states: Tensor) -> None:
        if self._seen is not None:
            self._seen.setdefault(number, []).append(states if number in self._layers else None)


def text_layers(output: Any, layers: Sequence[int], count: int, title: str) -> list[Tensor]:
    """The wanted layers of a text encoder's output, each (batch, wordpieces, dim), in the order asked for.

    Args:
        output: with `hidden_states` and `last_hidden_state`.
        layers: numbers of the wanted layers.
        count: N, as the config has it.
        title: option and checkpoint, for errors.

    Raises:
        EncoderError: another number of hidden states than N + 1, or some of another shape than the last.
    """
    states, last = getattr(output, "hidden_states", None), getattr(output, "last_hidden_state", None)
    if states is None or last is None or len(states) != count + 1:
        found = "none" if states is None else len(states)
        raise EncoderError(
            f"{title}: expected {count + 1} hidden states (the embeddings and {count} layers) and the last one, "
            f"found {found}; layers of this architecture cannot be told apart, use another encoder"
        )
    odd = [number for number in range(count) if states[number].shape != last.shape]
    if odd:
        raise EncoderError(
            f"{title}: layer {odd[0]} has the shape {tuple(states[odd[0]].shape)}, the last one {tuple(last.shape)}; "
            "mer stores layers of one width with a vector per wordpiece, use another encoder"
        )
    return [last if number == count else states[number] for number in layers]
