"""End-to-end fine-tuning of both encoders with cross-attention and two auxiliary tasks (Sun 2023).

`finetune` trains one row over all folds and seeds and writes a run directory; `Storage` says where, and what is kept.
"""

from typing import TYPE_CHECKING

from mer.settings.lazy import lazy

if TYPE_CHECKING:
    from mer.finetune.config import FinetuneConfig as FinetuneConfig
    from mer.finetune.errors import DivergedError as DivergedError
    from mer.finetune.errors import FinetuneError as FinetuneError
    from mer.finetune.run import Storage as Storage
    from mer.finetune.run import finetune as finetune
else:
    __getattr__ = lazy(__name__)
