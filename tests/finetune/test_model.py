from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mer.finetune.auxiliary import draw_pairing
from mer.finetune.batch import Batch, Pairing
from mer.finetune.config import FinetuneConfig
from mer.finetune.errors import FinetuneError
from mer.finetune.model import FinetuneModel, Output
from mer.finetune.trainable import TrainableEncoders, load_encoders

NarrowConfig = Callable[..., FinetuneConfig]
MakeBatch = Callable[..., Batch]
ROWS: dict[str, dict[str, Any]] = {
    "text": {"modality": "text"},
    "speech": {"modality": "speech"},
    "fc": {"fusion": "fc"},
    "ca": {},
    "ca, K = 3": {"fusion_layers": 3},
    "ca + aux 1": {"aux": "1"},
    "ca + aux 2": {"aux": "2"},
    "ca + both": {"aux": "1+2"},
    "fc + both": {"fusion": "fc", "aux": "1+2"},
}


def make_model(config: FinetuneConfig, seed: int = 0) -> tuple[FinetuneModel, TrainableEncoders]:
    encoders = load_encoders(config)
    return FinetuneModel(config, encoders, 3, seed_generator=torch.Generator().manual_seed(seed)), encoders


def pairing_of(batch: Batch, seed: int = 0) -> Pairing:
    return draw_pairing(batch.labels, np.random.default_rng(seed))


def gradients(model: FinetuneModel) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_table_gives_every_trained_parameter_a_gradient(
    row: str, narrow_config: NarrowConfig, make_batch: MakeBatch
) -> None:
    model, encoders = make_model(narrow_config(**ROWS[row]))
    batch = make_batch(encoders)
    output = model.train()(batch, pairing_of(batch))
    assert output.logits.shape == (4, 3)
    output.loss.backward()
    assert set(gradients(model)) == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    aux = ROWS[row].get("aux", "none")
    assert (output.aux1 is not None, output.aux2 is not None) == ("1" in aux, "2" in aux)


@pytest.mark.parametrize("row", ROWS)
def test_a_padded_batch_equals_one_by_one(row: str, narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    model, encoders = make_model(narrow_config(**ROWS[row]))
    model.double().eval()
    with torch.no_grad():
        together = model(make_batch(encoders))
        alone = [model(make_batch(encoders, only=[row])) for row in range(4)]
    torch.testing.assert_close(together.logits, torch.cat([each.logits for each in alone]), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(together.main, sum(each.main for each in alone) / 4, rtol=1e-12, atol=1e-12)
    assert together.aux1 is None
    assert together.aux2 is None
    assert torch.equal(together.loss, together.main)


def test_a_training_batch_has_the_mean_gradient_of_its_utterances(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    model, encoders = make_model(narrow_config(calm=True, train_cnn=True, fusion_layers=2))
    model.double().train()
    model(make_batch(encoders)).loss.backward()
    together = gradients(model)
    model.zero_grad()
    for row in range(4):
        (model(make_batch(encoders, only=[row])).loss / 4).backward()
    largest = max(float(value.abs().max()) for value in together.values())
    for name, value in gradients(model).items():
        difference = float((together[name] - value).abs().max())
        assert difference <= 1e-9 * float(value.abs().max()) + 1e-12 * largest, name


def test_without_weight_the_tasks_leave_loss_and_gradients_as_they_are(
    narrow_config: NarrowConfig, make_batch: MakeBatch
) -> None:
    outputs: list[Output] = []
    found: list[dict[str, Tensor]] = []
    for settings in ({"aux": "none"}, {"aux": "1+2", "aux_weights": (0.0, 0.0)}):
        model, encoders = make_model(narrow_config(**settings))
        batch = make_batch(encoders)
        torch.manual_seed(11)
        outputs.append(model.train()(batch, None if settings["aux"] == "none" else pairing_of(batch)))
        outputs[-1].loss.backward()
        found.append(gradients(model))
    assert torch.equal(outputs[0].loss, outputs[1].loss)
    assert torch.equal(outputs[0].logits, outputs[1].logits)
    assert outputs[1].aux1 is not None
    assert set(found[1]) - set(found[0]) == {"pair.weight", "pair.bias"}
    for name, value in found[0].items():
        assert torch.equal(found[1][name], value), name
    assert not found[1]["pair.weight"].any()


@pytest.mark.parametrize("row", ["fc + both", "ca + both"])
def test_the_auxiliary_losses_are_those_of_batches_that_are_encoded_again(
    row: str, narrow_config: NarrowConfig, make_batch: MakeBatch
) -> None:
    model, encoders = make_model(narrow_config(**ROWS[row], aux_weights=(0.3, 0.7)))
    model.double().eval()
    batch, labels = make_batch(encoders), [0, 0, 1, 0]
    pairing = Pairing(
        permutation=torch.tensor([2, 1, 3, 0]), audio=torch.tensor([3, 1, 3]), text=torch.tensor([0, 0, 1]), lonely=1
    )
    output = model(batch, pairing)
    first, second = [], []
    for audio, text in enumerate([2, 1, 3, 0]):
        embedding = embedding_of_pair(model, make_batch, encoders, audio, text)
        target = torch.tensor([3 * labels[audio] + labels[text]])
        assert model.pair is not None
        first.append(F.cross_entropy(embedding @ model.pair.weight.T + model.pair.bias, target))
    for audio, text in ((3, 0), (1, 0), (3, 1)):
        embedding = embedding_of_pair(model, make_batch, encoders, audio, text)
        second.append(F.cross_entropy(embedding @ model.emotion.weight.T + model.emotion.bias, torch.tensor([0])))
    assert output.aux1 is not None
    assert output.aux2 is not None
    torch.testing.assert_close(output.aux1, torch.stack(first).mean(), rtol=1e-11, atol=0)
    torch.testing.assert_close(output.aux2, torch.stack(second).mean(), rtol=1e-11, atol=0)
    torch.testing.assert_close(output.loss, output.main + 0.3 * output.aux1 + 0.7 * output.aux2, rtol=1e-14, atol=0)


def embedding_of_pair(model: FinetuneModel, make_batch: MakeBatch, encoders: TrainableEncoders, audio: int, text: int) -> Tensor:
    """Audio of one utterance and text of another, encoded anew and each alone."""
    speech = model.encode(make_batch(encoders, only=[audio])).audio
    words = model.encode(make_batch(encoders, only=[text])).text
    assert speech is not None
    assert words is not None
    if model.fusion is None:
        return torch.cat([speech.states.mean(1), words.states.mean(1)], 1)
    embedding: Tensor = model.fusion(speech, words)
    return embedding


def test_each_encoder_runs_once_a_batch_with_both_tasks_on(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    model, encoders = make_model(narrow_config(aux="1+2"))
    calls: Counter[str] = Counter()
    counted = {"speech": model.get_submodule("speech.model"), "text": model.get_submodule("text.model"), "fusion": model.fusion}
    for name, module in counted.items():
        assert module is not None
        module.register_forward_pre_hook(lambda module, inputs, name=name: calls.update([name]))
    batch = make_batch(encoders)
    output = model.train()(batch, pairing_of(batch))
    output.loss.backward()
    assert output.aux1 is not None
    assert output.aux2 is not None
    assert calls == {"speech": 1, "text": 1, "fusion": 3}


def test_without_partners_task_2_costs_nothing(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    model, encoders = make_model(narrow_config(aux="2"))
    batch = make_batch(encoders, labels=(2, 0, 1, 0), only=(0, 1, 2))
    pairing = pairing_of(batch)
    assert pairing.lonely == 3
    output = model.train()(batch, pairing)
    assert output.aux2 is not None
    assert float(output.aux2) == 0
    assert torch.equal(output.loss, output.main)


def test_task_1_needs_two_utterances(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    model, encoders = make_model(narrow_config(aux="1"))
    batch = make_batch(encoders, only=[1])
    with pytest.raises(FinetuneError, match=r"one utterance with aux 1: .* different utterances, so that it needs at least 2"):
        model(batch, pairing_of(batch))
    assert model(batch).logits.shape == (1, 3)


def test_two_to_the_same_seed_start_alike_whatever_the_global_generator_says(narrow_config: NarrowConfig) -> None:
    torch.manual_seed(1)
    plain, _ = make_model(narrow_config(), seed=4)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    both, _ = make_model(narrow_config(aux="1+2"), seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    other, _ = make_model(narrow_config(), seed=5)
    for name, value in plain.state_dict().items():
        assert torch.equal(both.state_dict()[name], value), name
    assert not torch.equal(other.state_dict()["emotion.weight"], plain.state_dict()["emotion.weight"])
    assert both.state_dict()["pair.weight"].shape == (9, 128)


def test_dropout_of_the_embedding_acts_while_training_only(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    model, encoders = make_model(narrow_config(calm=True, dropout=0.5))
    batch = make_batch(encoders)
    assert not torch.equal(model.train()(batch).logits, model(batch).logits)
    assert torch.equal(model.eval()(batch).logits, model(batch).logits)


def test_every_trained_parameter_is_in_one_group_and_only_matrices_decay(narrow_config: NarrowConfig) -> None:
    config = narrow_config("wavlm", aux="1", encoder_rate=1e-5, fusion_rate=1e-3, weight_decay=0.02)
    model, _ = make_model(config)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {group["name"]: [names[id(each)] for each in group["params"]] for group in model.parameter_groups(config)}
    rates = {group["name"]: (group["lr"], group["weight_decay"]) for group in model.parameter_groups(config)}
    assert rates == {
        "encoders.matrices": (1e-5, 0.02),
        "encoders.vectors": (1e-5, 0.0),
        "fusion.matrices": (1e-3, 0.02),
        "fusion.vectors": (1e-3, 0.0),
    }
    listed = [name for group in groups.values() for name in group]
    assert sorted(listed) == sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    encoders = groups["encoders.matrices"] + groups["encoders.vectors"]
    assert all(name.startswith(("speech.", "text.")) for name in encoders)
    assert {name.split(".")[0] for name in groups["fusion.matrices"]} == {"fusion", "emotion", "pair"}
    assert all(name.rsplit(".", 1)[1] in ("wq", "wk", "wv", "wo", "weight") for name in groups["fusion.matrices"])
    assert all(name.rsplit(".", 1)[1] in ("bq", "bv", "bo", "bias") for name in groups["fusion.vectors"])
    gains = [name for name in encoders if "original0" in name or "LayerNorm" in name or "gru_rel_pos_const" in name]
    assert len(gains) > 4
    assert set(gains) <= set(groups["encoders.vectors"])
    assert "speech.model.encoder.pos_conv_embed.conv.parametrizations.weight.original1" in groups["encoders.matrices"]


def test_autocast_leaves_the_classifier_in_float32(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    model, encoders = make_model(narrow_config(aux="1+2"))
    batch = make_batch(encoders)
    with torch.no_grad():
        exact = model.eval()(batch).logits
    with torch.autocast("cpu", torch.bfloat16):
        output = model(batch, pairing_of(batch))
    assert output.logits.dtype == output.loss.dtype == torch.float32
    torch.testing.assert_close(output.logits, exact, rtol=0, atol=0.1)
    assert not torch.equal(output.logits, output.logits.bfloat16().float())
    output.loss.backward()
    assert all(gradient.dtype == torch.float32 for gradient in gradients(model).values())


def test_a_batch_without_what_is_read_is_refused(narrow_config: NarrowConfig, make_batch: MakeBatch) -> None:
    model, _ = make_model(narrow_config())
    labels = torch.tensor([0])
    with pytest.raises(FinetuneError, match="modality both reads audio, and this batch holds none"):
        model(Batch(rows=(0,), labels=labels))
    with pytest.raises(FinetuneError, match="modality both reads text, and this batch holds none"):
        model(Batch(rows=(0,), labels=labels, waves=torch.zeros(1, 400), samples=(400,)))


def test_one_class_is_refused(narrow_config: NarrowConfig) -> None:
    config = narrow_config(modality="text")
    with pytest.raises(FinetuneError, match="1 classes: expected 2 or more"):
        FinetuneModel(config, load_encoders(config), 1, seed_generator=torch.Generator())
