"""Rows are heads and fine-tuned models, so their fixtures are those of these rooms."""

from mer.tests.finetune.conftest import corpus as corpus
from mer.tests.finetune.conftest import fresh_accelerate as fresh_accelerate
from mer.tests.finetune.conftest import narrow_config as narrow_config
from mer.tests.finetune.conftest import text_row as text_row
from mer.tests.heads.conftest import make_cache as make_cache
