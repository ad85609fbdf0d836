"""What every encoder's checkpoint has, whatever it encodes: width, depth, weights and identity."""

import hashlib
import inspect
from abc import ABC
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoModel, PreTrainedModel

from mer.extract.lora import Adapter
from mer.extract.pretrained import EncoderError, load_weights, model_label, weights_fingerprint
from mer.files.tensors import refusals_of_tensors


class Checkpoint(ABC):
    """One checkpoint of a family, without its weights. What is not overridden is as `transformers` has it."""

    option: ClassVar[str]
    """Command-line option that names it, for errors."""
    architecture: ClassVar[Any] = AutoModel
    """Class of `transformers` that is built; that of a part, where the checkpoint holds more than the encoder."""
    renamed: ClassVar[Mapping[str, str] | None] = None
    """Patterns in names of the checkpoint's weights, and what they are in `architecture`."""
    adapter: Adapter | None = None
    """What is merged into the weights; `name` is then the encoder that it changes."""

    def __init__(self, name: str, revision: str | None, config: Any) -> None:
        """Take the width and the depth from a config.

        Args:
            name: hub id or folder.
            revision: branch, tag or commit of a hub id.
            config: values of its `config.json` as attributes.
        """
        self.name = name
        self.revision = revision
        self.config = config
        self.dim: int = config.hidden_size
        self.layer_count: int = config.num_hidden_layers
        """N: the last layer's number."""

    @property
    def place(self) -> str:
        """The hub id or folder that was given: an adapter's, where one is merged."""
        return self.name if self.adapter is None else str(self.adapter.folder)

    @property
    def title(self) -> str:
        """Option and checkpoint, as messages begin."""
        return f"{self.option} {self.place}"

    def load(self) -> nn.Module:
        """The model with its weights in float32, in evaluation mode, with gradients.

        Raises:
            EncoderError: weights that are missing or cannot be read, or an adapter of another encoder.
        """
        model = load_weights(
            self.name, self.revision, self.option, self.config, architecture=self.architecture, renamed=self.renamed
        )
        if self.adapter is not None:
            self.adapter.merge(model, self.renamed, self.title)
        return model

    @property
    def loads_itself(self) -> bool:
        """Whether its family reads the weights, from wherever it likes."""
        return type(self).load is not Checkpoint.load

    def build(self) -> nn.Module:
        """The model with any weights: others are put in."""
        if self.architecture is AutoModel:
            model = AutoModel.from_config(self.config, dtype=torch.float32)
        else:
            model = self.architecture(self.config).float()
        assert isinstance(model, nn.Module)
        return model

    def save(self, folder: Path, model: Any, *, weights: bool) -> None:
        """Write what `open_speech` or `open_text` reads.

        Args:
            folder: there already, or made.
            model: of this checkpoint.
            weights: whether to write them, too; without them only `build` is of use afterwards.

        Raises:
            EncoderError: a model that is none of `transformers`, in a family without a method for it.
            WriteError: the file system refuses.
        """
        if not isinstance(model, PreTrainedModel):
            raise EncoderError(f"{self.title}: cannot be copied, its family {type(self).__name__} has no `save`")
        with refusals_of_tensors(folder):
            (model if weights else model.config).save_pretrained(folder)
        self.save_inputs(folder)

    def save_inputs(self, folder: Path) -> None:
        """Write the files that say how inputs are prepared; there are none unless a family says so."""
        return

    @property
    def lacks_for_training(self) -> list[str]:
        """Methods that a family with a `load` of its own must have as well, so that a trained model can be read again."""
        own = {name for name in ("load", "build", "save") if getattr(type(self), name) is not getattr(Checkpoint, name)}
        needed = ["build"] if self.config.model_type in CONFIG_MAPPING else ["build", "save"]
        return [name for name in needed if name not in own] if self.loads_itself else []

    def describe(self, model: nn.Module) -> dict[str, Any]:
        """What identifies the checkpoint with the weights that were loaded from it."""
        named: dict[str, Any] = {"model": model_label(self.name), "revision": getattr(self.config, "_commit_hash", None)}
        if self.adapter is not None:
            # A folder has no revision: what is known of the encoder that it changes is said apart.
            named = {"model": model_label(self.place), "revision": None, "adapter_of": named}
        return (
            named
            | {
                "type": self.config.model_type,
                "weights_sha256": weights_fingerprint(model),
                "dim": self.dim,
            }
            | self._source()
        )

    def _source(self) -> dict[str, Any]:
        """Where a family of the user's own comes from: after a change of the file its numbers may be others."""
        kind = type(self)
        if kind.__module__.startswith("mer."):
            return {}
        digest = hashlib.sha256(Path(inspect.getfile(kind)).read_bytes()).hexdigest()
        return {"family": {"module": kind.__module__, "class": kind.__name__, "sha256": digest}}
