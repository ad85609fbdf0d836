"""SpecAugment as `transformers` draws it, for every utterance of a batch as if it were alone."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mer.finetune.utterance_dropout import active_seeds


def mask_utterances_apart(model: Any) -> None:
    """Let a speech encoder mask each utterance's own frames by itself, from a draw of its own; `model` is changed in place.

    `transformers` draws the spans of a whole batch from one stream of numpy's global generator, so that they would depend
    on what an utterance is padded with. An utterance that is shorter than one span is left as it is.

    Args:
        model: with `_mask_hidden_states`, as all of the wav2vec 2.0 family that knows SpecAugment.
    """
    together = model._mask_hidden_states

    def apart(hidden_states: Tensor, mask_time_indices: Tensor | None = None, attention_mask: Tensor | None = None) -> Tensor:
        if not model.config.apply_spec_augment:
            return hidden_states
        batch, longest = hidden_states.shape[:2]
        frames = [longest] * batch if attention_mask is None else attention_mask.sum(1).tolist()
        seeds = active_seeds() or torch.randint(2**31, (batch,)).tolist()
        before = np.random.get_state()  # noqa: NPY002
        rows = []
        try:
            for row, own, seed in zip(hidden_states.split(1), frames, seeds, strict=True):
                masked = row[:, :own]
                if own >= model.config.mask_time_length:
                    np.random.seed(seed % 2**32)  # noqa: NPY002 - transformers knows the global generator only
                    masked = together(masked.clone())
                rows.append(F.pad(masked, (0, 0, 0, longest - own)))
        finally:
            np.random.set_state(before)  # noqa: NPY002
        return torch.cat(rows)

    model._mask_hidden_states = apart
