"""The training forward: the fast way equals the plain one, and a padded batch equals its rows one by one."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from glimpse_core import world
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.glimpse.model import GlimpseModules, with_modules
from glimpse_core.models import catalog, checkpoint
from glimpse_core.training.glimpse.forward import losses, supervised, supervised_after
from glimpse_core.training.glimpse.frozen import Asked, freeze
from glimpse_core.training.losses import mask_loss, mask_losses
from glimpse_core.types import GlimpseConfig
from tests.support import tiny_llava, tiny_qwen3
from tests.support.tiny_folder import write_base

CONFIG = GlimpseConfig(
    keep_layer=2, read_layers=(1, 2), glimpse_layers=(0, 1, 2, 3), vision_layers=(1, 0),
    vip_size=16, vip_condition_size=16, vip_heads=2,
)  # fmt: skip


FOLDERS = {"llava": tiny_llava.base_folder, "qwen3": tiny_qwen3.base_folder}


@pytest.fixture(scope="module", params=["qwen", "qwen3", "llava"])
def base(request, tmp_path_factory):
    folder = FOLDERS[request.param]() if request.param in FOLDERS else write_base(tmp_path_factory.mktemp("base"))
    return catalog.load(folder, dtype="float32", device="cpu")


def fitted(base, **changes):
    """The base with random new modules of `CONFIG`, changed."""
    config = replace(CONFIG, **changes)
    torch.manual_seed(0)
    glimpse, vip = checkpoint.create(config, base.backbone)
    for parameter in [*glimpse.parameters(), *vip.parameters()]:
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.25)
    return with_modules(base, GlimpseModules(config, glimpse, vip))


@pytest.fixture(scope="module")
def asked(base):
    """(per question: prompt with answer, labels), and the same questions as one `Asked`."""
    scene = world.scene(7, size=(224, 168))
    questions = world.questions(scene)[:4:2] + world.questions(scene)[-1:]
    prompts = [base.processor.prompt(base.backbone, [scene.image], q.text) for q in questions]
    spoken = [base.processor.prompt(base.backbone, [scene.image], q.text, answer=q.answer) for q in questions]
    plain, answers = [], []
    for prompt, with_answer in zip(prompts, spoken, strict=True):
        labels = with_answer.input_ids.clone()
        labels[:, : prompt.input_ids.shape[1]] = -100
        plain.append((with_answer, labels))
        answers.append(with_answer.input_ids[0, prompt.input_ids.shape[1] :])
    targets = tuple(box_mask(question.boxes, prompts[0].grids[0]) for question in questions)
    assert len({len(answer) for answer in answers}) > 1, "answers of equal length test no padding"
    return plain, Asked(prompts[0], tuple(p.input_ids[0] for p in prompts), tuple(answers), targets)


def gradients(model):
    named = [*model.glimpse.named_parameters(), *model.vip.named_parameters(prefix="vip")]
    found = {name: parameter.grad for name, parameter in named}
    for _, parameter in named:
        parameter.grad = None
    return found


def worst(first, second):
    assert first.keys() == second.keys()
    return max(float((first[n] - second[n]).abs().max() / first[n].abs().max().clamp(min=1e-9)) for n in first)


VARIANTS = [
    {},
    {"glimpse_length": 2, "glimpse_layers": (0, 2)},
    {"vip_global": False, "vip_type": "v2"},
    {"deep_supervision": True},
    {"read_layers": (0,), "keep_layer": 0},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: ",".join(changes) or "plain")
def test_the_fast_way_equals_the_plain_one(base, asked, changes):
    model = fitted(base, **changes)
    plain, together = asked
    outputs = [supervised(model, prompt, labels) for prompt, labels in plain]
    answer = sum(
        functional.cross_entropy(o.logits[0, :-1], o.labels[0, 1:], ignore_index=-100, reduction="sum") for o in outputs
    ) / sum(int((o.labels != -100).sum()) for o in outputs)
    parts = mask_losses([o.masks[0] for o in outputs], together.targets)
    total = answer + mask_loss(parts)
    total.backward()
    slow = gradients(model)

    frozen = freeze(base.backbone, together, model.config.vision_layers)
    found = losses(supervised_after(model, frozen), together.targets)
    found.total.backward()
    assert found.total.item() == pytest.approx(total.item(), abs=1e-5)
    assert found.answer.item() == pytest.approx(answer.item(), abs=1e-5)
    assert worst(slow, gradients(model)) < 1e-4
    again = losses(supervised_after(model, frozen), together.targets)  # the frozen part was not used up
    assert again.total.item() == pytest.approx(found.total.item(), abs=1e-6)


def test_a_padded_batch_equals_its_rows(base, asked):
    model = fitted(base)
    rows = asked[0][:2]
    longest = max(prompt.input_ids.shape[1] for prompt, _ in rows)

    def padded(tensor, fill):
        return functional.pad(tensor, (longest - tensor.shape[1], 0), value=fill)

    batch = base.backbone.prompt(
        torch.cat([padded(prompt.input_ids, 0) for prompt, _ in rows]),
        torch.cat([prompt.pixel_values for prompt, _ in rows]),
        None if rows[0][0].image_grid_thw is None else torch.cat([prompt.image_grid_thw for prompt, _ in rows]),
        torch.cat([padded(prompt.attention_mask, 0) for prompt, _ in rows]),
    )
    together = supervised(model, batch, torch.cat([padded(labels, -100) for _, labels in rows]))
    for index, (prompt, labels) in enumerate(rows):
        alone = supervised(model, prompt, labels)
        assert torch.equal(together.labels[index][together.labels[index] != -100], labels[labels != -100])
        torch.testing.assert_close(together.masks[index], alone.masks[0], atol=1e-4, rtol=1e-4)
        length = alone.logits.shape[1]
        torch.testing.assert_close(together.logits[index, -length:], alone.logits[0], atol=1e-4, rtol=1e-4)


def test_the_first_answer_token_is_predicted_by_the_glimpse_and_sits_behind_it(base, asked):
    model = fitted(base)
    prompt, labels = asked[0][0]
    first = int((labels[0] != -100).int().argmax())
    outputs = supervised(model, prompt, labels)
    assert outputs.labels.shape[1] == labels.shape[1] + 1
    assert int(outputs.labels[0, first]) == -100
    assert torch.equal(outputs.labels[0, first + 1 :], labels[0, first:])


def test_recomputed_layers_give_the_same_gradients(base, asked):
    """And they hold less in between: the cache is filled by the first pass and again by the second, each its own."""
    model = fitted(base)
    frozen = freeze(model.backbone, asked[1], model.config.vision_layers)
    lengths = [layer.keys.shape[2] for layer in frozen.cache.layers]
    found, held = [], []
    for recompute in (False, True):
        saved = 0

        def note(tensor):
            nonlocal saved
            saved += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            out = supervised_after(model, frozen, recompute=recompute)
        losses(out, frozen.targets).total.backward()
        found.append(gradients(model))
        held.append(saved)
    assert all(torch.allclose(found[0][name], found[1][name], atol=1e-7) for name in found[0])
    assert held[1] < held[0] / 2
    assert [layer.keys.shape[2] for layer in frozen.cache.layers] == lengths


def test_only_the_new_modules_learn(base, asked):
    model = fitted(base)
    losses(supervised_after(model, freeze(base.backbone, asked[1], (1, 0))), asked[1].targets).total.backward()
    assert all(gradient is not None for gradient in gradients(model).values())
    assert all(parameter.grad is None for parameter in base.backbone.hf.parameters())


def test_a_row_without_an_answer_is_refused(base, asked):
    prompt, labels = asked[0][0]
    with pytest.raises(ValueError, match="without a single supervised token"):
        supervised(fitted(base), prompt, torch.full_like(labels, -100))
