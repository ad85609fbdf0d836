"""The kind of grid whose rows are trained end to end, such as the tables of Sun 2023."""

from mer.finetune.config import FinetuneConfig
from mer.heads.grid_kind import FINETUNE, GridKind
from mer.heads.grid_options import GridOptions


def row_name(config: FinetuneConfig) -> str:
    """What tables call a row that has no name of its own: `text`, `FC`, `CA K=1`, `CA K=2 + aux 1+2`."""
    if config.modality != "both":
        return config.modality
    fusion = "FC" if config.fusion == "fc" else f"CA K={config.fusion_layers}"
    return fusion if config.aux == "none" else f"{fusion} + aux {config.aux}"


FINETUNE_GRIDS = GridKind(
    name=FINETUNE,
    options=GridOptions(config=FinetuneConfig),
    make=FinetuneConfig,
    name_of=lambda configs: row_name(configs[0]),
    shape=frozenset({"modality", "fusion", "fusion_layers", "aux"}),
)
"""Grids of models that are trained end to end."""
