"""Units of their own per tier, the reasons where there are none, and the exit code."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mer.cli import app
from mer.corpus import Alignment, Segment, open_corpus
from mer.corpus.textgrid_file import write_textgrid
from mer.extract import ExtractConfig, Resources, extract, look_ahead
from mer.extract.inputs import fingerprint
from mer.extract.own_units import (
    NO_ALIGNMENT,
    NOTHING_SPOKEN,
    ONLY_FILLERS,
    TierCount,
    count_tiers,
    missing_tiers,
    why_whole,
)

MakeManifest = Callable[..., Path]
ONE = Resources(device="cpu", workers=1)
A, B = Segment("AH", 0, 200), Segment("N", 200, 500)
WORD = Segment("a", 0, 500)
FULL = Alignment(phones=(A, B), syllables=(Segment("AH_N", 0, 500),), words=(WORD,))
WORDS_ONLY = Alignment(phones=(), syllables=(), words=(WORD,))
PHONES_ONLY = Alignment(phones=(A, B), syllables=(), words=())
NO_SYLLABLES = "the alignment has no syllables"
NOTHING = Alignment(phones=(), syllables=(), words=())
LAUGHTER = Alignment(phones=(Segment("spn", 0, 500),), syllables=(Segment("spn", 0, 500),), words=())


@pytest.mark.parametrize(
    ("tier", "alignment", "reason"),
    [
        ("S", WORDS_ONLY, NO_SYLLABLES),
        ("P", WORDS_ONLY, "the alignment has no phones"),
        ("W", PHONES_ONLY, "the alignment has no words"),
        ("P", NOTHING, NOTHING_SPOKEN),
        ("P", LAUGHTER, ONLY_FILLERS),
        ("W", LAUGHTER, NOTHING_SPOKEN),
    ],
)
def test_a_tier_without_units_has_a_reason(tier: str, alignment: Alignment, reason: str) -> None:
    assert why_whole(tier, alignment, alignment.without_fillers()) == reason


@pytest.mark.parametrize(
    ("units", "reasons", "missing"),
    [
        (8, {}, False),
        (0, {NO_SYLLABLES: 8}, True),
        (4, {NO_SYLLABLES: 4}, True),
        (95, {NO_SYLLABLES: 5}, False),
        (94, {NO_SYLLABLES: 6}, True),
        (60, {NO_ALIGNMENT: 40}, False),
        (40, {NO_ALIGNMENT: 60}, True),
        (0, {NO_ALIGNMENT: 1}, True),
        (7, {NOTHING_SPOKEN: 1}, False),
        (7, {ONLY_FILLERS: 7}, False),
        (0, {}, False),
    ],
)
def test_what_a_missing_tier_is(units: int, reasons: Mapping[str, int], missing: bool) -> None:
    count = TierCount(units=units, whole=sum(reasons.values()), reasons=reasons)
    assert count.missing is missing
    assert list(missing_tiers({"S": count})) == ["S"] * missing


def test_counts_are_of_what_was_asked_for_and_older_shards_are_unknown() -> None:
    new = (["a", "b", "c"], ["c"], {"S": {NO_SYLLABLES: ["a", "x"], NO_ALIGNMENT: ["c"]}})
    old = (["d", "e"], ["e"], None)
    counts = count_tiers(["S", "W"], [new, old])
    assert counts["S"] == TierCount(units=1, whole=3, reasons={NO_SYLLABLES: 1, NO_ALIGNMENT: 2}, unknown=1)
    assert counts["W"] == TierCount(units=3, whole=1, reasons={NO_ALIGNMENT: 1}, unknown=1)


def replaced(manifest: Path, alignments: Sequence[Alignment]) -> Path:
    for path, alignment in zip(sorted(manifest.parent.glob("*.TextGrid")), alignments, strict=True):
        write_textgrid(path, alignment, 0.6)
    return manifest


@pytest.fixture
def mer_extract(config: ExtractConfig, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    def run(manifest: Path, *options: str) -> tuple[int, str, str]:
        places = ["--corpus", str(manifest), "--cache", str(tmp_path / "features"), "--device", "cpu", "--workers", "1"]
        models = ["--speech-model", config.speech_model, "--text-model", config.text_model]
        found = CliRunner().invoke(app, ["extract", *places, *models, *options], env={"COLUMNS": "300"})
        return found.exit_code, found.stdout, found.stderr

    return run


@pytest.mark.parametrize(
    ("alignment", "missing", "reason"),
    [
        (WORDS_ONLY, ["P", "S"], "the alignment has no phones"),
        (PHONES_ONLY, ["W"], "the alignment has no words"),
        (NOTHING, ["P", "S", "W"], NOTHING_SPOKEN),
    ],
)
def test_a_wanted_tier_without_units_is_named_and_ends_with_exit_code_1(
    make_manifest: MakeManifest,
    mer_extract: Callable[..., tuple[int, str, str]],
    alignment: Alignment,
    missing: list[str],
    reason: str,
) -> None:
    manifest = replaced(make_manifest(2), [alignment] * 2)
    code, out, err = mer_extract(manifest, "--granularity", "P+S+W")
    assert code == 1
    for tier in missing:
        assert f"{tier}: 2 of 2 utterances have no" in out
        assert f"looking ahead: {tier}: 2 of 2" in err
        assert f"{tier} in 0 of 2" in out
    assert reason in out
    code, out, err = mer_extract(manifest, "--granularity", "P+S+W", "--allow-missing-segments", "--json")
    data = json.loads(out)
    assert (code, list(data["missing_tiers"]), "looking ahead" in err) == (0, missing, False)
    assert {tier: count["units"] for tier, count in data["tiers"].items()} == {t: 2 * (t not in missing) for t in "PSW"}
    kept = [tier for tier in "PSW" if tier not in missing] or ["F"]
    code, out, _ = mer_extract(manifest, "--granularity", "+".join(kept))
    assert (code, "utterances have no" in out) == (0, False)


def test_no_alignment_at_all_is_a_tier_without_units(
    make_manifest: MakeManifest, mer_extract: Callable[..., tuple[int, str, str]]
) -> None:
    manifest = make_manifest(2)
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "textgrid"}) + "\n" for row in rows))
    code, out, _ = mer_extract(manifest, "--granularity", "F+W")
    assert (
        code,
        f"W: 2 of 2 utterances have no words of their own and are one segment over the whole utterance (2 x {NO_ALIGNMENT})"
        in out,
    ) == (1, True)
    assert mer_extract(manifest, "--granularity", "F")[0] == 0


@pytest.mark.parametrize("command", ["train-head", "grid"])
def test_a_head_is_not_trained_on_a_tier_without_units_unless_asked_to(
    make_manifest: MakeManifest, mer_extract: Callable[..., tuple[int, str, str]], tmp_path: Path, command: str
) -> None:
    mer_extract(replaced(make_manifest(2), [PHONES_ONLY] * 2), "--granularity", "P+S+W+T")
    table = tmp_path / "own.toml"
    table.write_text('[[rows]]\ngranularity = "P+W"\n[[rows]]\ngranularity = "S"\n')
    what = [str(table)] if command == "grid" else ["--granularity", "P+W"]
    asked = [command, *what, "--cache", str(tmp_path / "features"), "--runs", str(tmp_path / "runs"), "--classes", "as-is"]
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 2
    assert "not trained, because tiers that are asked for are missing:" in refused.stderr
    expected = "W: 2 of 2 utterances have no words of their own and are one segment over the whole utterance"
    assert f"{expected} (2 x the alignment has no words)" in refused.stderr
    assert "P: " not in refused.stderr
    allowed = CliRunner().invoke(app, [*asked, "--allow-missing-segments"])
    assert "not trained" not in allowed.stderr
    # Two utterances of one session cannot be split: what is refused now is something else.
    assert allowed.exit_code != 0


def test_the_sidecar_says_which_utterances_are_whole_and_why(
    make_manifest: MakeManifest, config: ExtractConfig, tmp_path: Path
) -> None:
    manifest = replaced(make_manifest(6), [FULL, WORDS_ONLY, FULL, NOTHING, FULL, FULL])
    corpus = open_corpus(manifest)
    result = extract(corpus, config, tmp_path / "features", resources=ONE)
    assert result.tiers == {
        "P": TierCount(units=4, whole=2, reasons={"the alignment has no phones": 1, NOTHING_SPOKEN: 1}),
        "S": TierCount(units=4, whole=2, reasons={NO_SYLLABLES: 1, NOTHING_SPOKEN: 1}),
        "W": TierCount(units=5, whole=1, reasons={NOTHING_SPOKEN: 1}),
    }
    assert list(result.missing_tiers) == list(look_ahead(corpus, config)) == ["P", "S"]
    noted = [json.loads(path.read_text())["provenance"]["whole_segments"] for path in result.folder.glob("shards/*.json")]
    assert {"P": {"the alignment has no phones": ["utt001"]}, "S": {NO_SYLLABLES: ["utt001"]}} in noted
    again = extract(corpus, config, tmp_path / "features", resources=ONE)
    assert (again.shards_made, again.tiers) == (0, result.tiers)


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({}, False),
        ({'"happy"': '"[laughter]"'}, False),
        ({'"happy"': '"[SIL]"'}, True),
        ({'"happy"': '"_"'}, True),
        ({'"happy"': '"pause"'}, True),
        ({'"happy"': '"<usb>"'}, True),
        ({"intervals: size = 5": "intervals: size = 2"}, True),
        ({'"AE1"': '"æ"'}, True),
    ],
)
def test_only_utterances_that_were_read_otherwise_are_stale(
    make_manifest: MakeManifest, changes: Mapping[str, str], stale: bool
) -> None:
    (utterance,) = open_corpus(make_manifest(1))
    assert utterance.alignment is not None
    (grid,) = utterance.alignment.paths
    content = grid.read_text()
    for old, new in changes.items():
        assert old in content
        content = content.replace(old, new)
    grid.write_text(content)
    digest = hashlib.sha256(
        repr((utterance.id, utterance.text, utterance.label, utterance.speaker, utterance.session, utterance.style)).encode()
    )
    for path in (utterance.wav, grid):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    assert (fingerprint(utterance) != digest.hexdigest()) is stale
