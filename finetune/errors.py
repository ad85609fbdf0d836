"""What goes wrong in fine-tuning."""


class FinetuneError(ValueError):
    """A setting, corpus, encoder or checkpoint that cannot be fine-tuned as asked."""


class DivergedError(FinetuneError):
    """One run whose loss is no longer a number; the other runs go on."""
