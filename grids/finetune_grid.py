"""Grids of models that are trained end to end, such as the tables of Sun 2023: how their rows are read."""

from mer.finetune.config import FinetuneConfig
from mer.finetune.row_name import row_name
from mer.grids.grid_kind import FINETUNE, GridKind
from mer.grids.grid_options import GridOptions

FINETUNE_GRIDS = GridKind(
    name=FINETUNE,
    options=GridOptions(config=FinetuneConfig),
    make=FinetuneConfig,
    name_of=lambda configs: row_name(configs[0]),
    shape=frozenset({"modality", "fusion", "fusion_layers", "aux"}),
)
"""Grids of models that are trained end to end."""
