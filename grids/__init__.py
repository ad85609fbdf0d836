"""Tables of rows, each a head on cached features or a model that is fine-tuned; the presets are tables of the papers."""
