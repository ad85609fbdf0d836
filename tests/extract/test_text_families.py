"""Every family of text encoders with a tokenizer of its kind, and texts of more wordpieces than it has positions for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel, AutoTokenizer

from mer.cache import open_cache
from mer.corpus.manifest import read_manifest
from mer.extract import EncoderError, ExtractConfig, Resources, TextEncoder, extract
from mer.extract.long_texts import pieces_of, special_tokens
from mer.tests.extract.conftest import MakeManifest
from mer.tests.extract.small_families import LAYERS
from mer.tests.extract.small_text_families import POSITIONS, TEXT

# transformers 5.0 scripts parts of DeBERTa and ModernBERT at import, which present versions of PyTorch warn about.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

Folder = Callable[[str], Path]
TEXTS = ["no", "we lost it all, and i will not say it again", "happy: that you came"]
LONG = "so he went home angry and tired, and did not answer the door until late in the evening! " * 2


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest relative L2 distance over the layers."""
    return float(((found.double() - expected.double()).norm(dim=(0, 2)) / expected.double().norm(dim=(0, 2))).max())


@pytest.mark.parametrize("name", TEXT)
def test_a_batch_equals_one_by_one_and_one_text_transformers_own(name: str, text_family_folder: Folder) -> None:
    folder = str(text_family_folder(name))
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
        encoder = TextEncoder(folder, layers=range(LAYERS + 1), dtype=dtype)
        assert not encoder.one_by_one
        assert encoder.max_tokens == POSITIONS
        tokens = encoder.tokenize(TEXTS)
        together = encoder(tokens)
        for found, ids in zip(together, tokens, strict=True):
            assert found.shape == (len(ids), LAYERS + 1, encoder.dim)
            assert distance(found, encoder([ids])[0]) < tolerance
    ids = AutoTokenizer.from_pretrained(folder)(TEXTS[1], return_tensors="pt")
    with torch.inference_mode():
        theirs = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()(**ids, output_hidden_states=True)
    expected = torch.stack([each[0] for each in (*theirs.hidden_states[:-1], theirs.last_hidden_state)], dim=1)
    assert torch.equal(encoder([tokens[1]])[0], expected)


@given(
    body=st.lists(st.integers(10, 99), min_size=1, max_size=60),
    around=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    limit=st.integers(6, 20),
)
def test_windows_keep_every_wordpiece_once_and_in_order(body: list[int], around: tuple[int, int], limit: int) -> None:
    before, after = around
    ids = [*range(before), *body, *range(100, 100 + after)]
    windows, cut = (pieces_of(ids, limit, around, rule) for rule in ("windows", "cut"))
    assert [token for each in windows for token in each.ids[each.start : each.end]] == ids
    for each in (*windows, *cut):
        assert len(each.ids) <= limit
        assert each.ids[:before] == ids[:before]
        assert each.ids[len(each.ids) - after :] == ids[len(ids) - after :]
    assert len(cut) == 1
    assert len(windows) == max(1, -(-len(body) // (limit - before - after))) if len(ids) > limit else len(windows) == 1
    assert special_tokens([*range(before), *range(100, 100 + after)], [*range(before), 50, *range(100, 100 + after)]) == around


@pytest.mark.parametrize("name", ["BERT", "RoBERTa", "XLM-R", "DeBERTa-v3"])
def test_a_long_text_is_its_windows_or_its_beginning(name: str, text_family_folder: Folder) -> None:
    folder = str(text_family_folder(name))
    windows, cut = (TextEncoder(folder, dtype=torch.float64, long=rule) for rule in ("windows", "cut"))
    ids = windows.tokenize([LONG])[0]
    assert len(ids) > 2 * POSITIONS
    if not windows.tokenize([""])[0]:
        pytest.skip("this version's tokenizer puts nothing around a text, so that its windows are longer")
    room, (first, last) = POSITIONS - 2, (ids[0], ids[-1])
    parts = [[first, *ids[1:-1][place : place + room], last] for place in range(0, len(ids) - 2, room)]
    alone = [windows([part])[0] for part in parts]
    expected = torch.cat([alone[0][:-1], *(each[1:-1] for each in alone[1:-1]), alone[-1][1:]])
    found = windows([ids, windows.tokenize(["no"])[0]])[0]
    assert len(found) == len(ids)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(cut([ids])[0], alone[0], rtol=1e-10, atol=1e-12)
    assert windows.conversions(ids) == (f"with a transcript longer than {POSITIONS} wordpieces, read in windows",)
    assert cut.conversions(ids) == (f"with a transcript longer than {POSITIONS} wordpieces, cut there",)
    assert cut.conversions(ids[:POSITIONS]) == ()


@pytest.mark.parametrize("rule", ["refuse", "windows", "cut"])
def test_long_texts_are_counted_or_refused_and_the_identity_says_which(
    rule: str, text_family_folder: Folder, make_manifest: MakeManifest, tmp_path: Path
) -> None:
    manifest = make_manifest(3)
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    rows[1]["text"] = LONG
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = ExtractConfig(text_model=str(text_family_folder("BERT")), granularities=("T",), long_text=rule)
    result = extract(read_manifest(manifest), config, tmp_path / "cache", resources=Resources(device="cpu", workers=1))
    cache = open_cache(result.folder)
    if rule == "refuse":
        assert "long" not in cache.spec["text"]
        (failed,) = result.failed
        assert "the text encoder takes 64" in failed.reason
    else:
        assert cache.spec["text"]["long"] == rule
        assert [count for done, count in result.conversions.items() if "64 wordpieces" in done] == [1]
        units = len(cache.read(rows[1]["id"], "T"))
        assert units == POSITIONS if rule == "cut" else units > 2 * POSITIONS


def test_a_folder_of_sentence_transformers_is_read_and_an_old_one_named(text_family_folder: Folder, tmp_path: Path) -> None:
    plain, new, old = text_family_folder("MPNet"), tmp_path / "new", tmp_path / "old"
    shutil.copytree(plain, new)
    modules: list[dict[str, Any]] = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (new / "modules.json").write_text(json.dumps(modules))
    (new / "1_Pooling").mkdir()
    (new / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    found, expected = TextEncoder(str(new)), TextEncoder(str(plain))
    assert found.identity | {"model": ""} == expected.identity | {"model": ""}
    shutil.copytree(plain, old / "0_Transformer")
    modules[0]["path"] = "0_Transformer"
    (old / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(EncoderError, match=r"old: .* `--text-model .*old/0_Transformer`"):
        TextEncoder(str(old))
