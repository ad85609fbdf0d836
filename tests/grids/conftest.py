"""Rows are heads and fine-tuned models, so their fixtures are those of these rooms."""

from mer.tests.heads.conftest import make_cache as make_cache
