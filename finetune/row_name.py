"""What tables call a fine-tuned row."""

from mer.finetune.config import FinetuneConfig


def row_name(config: FinetuneConfig) -> str:
    """What tables call a row that has no name of its own: `text`, `FC`, `CA K=1`, `CA K=2 + aux 1+2`."""
    if config.modality != "both":
        return config.modality
    fusion = "FC" if config.fusion == "fc" else f"CA K={config.fusion_layers}"
    return fusion if config.aux == "none" else f"{fusion} + aux {config.aux}"
