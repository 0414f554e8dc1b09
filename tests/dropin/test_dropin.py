"""The published class names: their snippet runs, they give the official numbers, and no call leaves anything behind."""

from __future__ import annotations

import copy
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AttentionInterface, GenerationConfig, TextIteratorStreamer
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from glimpse_core.dropin import Qwen2_5_VL_GP_ForConditionalGeneration, Qwen2_5_VL_GP_Processor
from glimpse_core.errors import GlimpseError
from glimpse_core.inference.decoding import finish
from glimpse_core.inference.session import Session
from glimpse_core.parity.inference import greedy
from glimpse_core.pruners import GlimpsePruner, MaskPruner, NoPruner, RandomPruner, build
from glimpse_core.types import Sampling, Selection
from tests.media.test_video import clip
from tests.parity.test_parity import GOLDEN
from tests.storage.test_hub import cache, put  # noqa: F401 - a fixture
from tests.support import oracle, tiny, tiny_llava

GREEDY = dict(max_new_tokens=6, do_sample=False, eos_token_id=None)


def load(base, modules, **options):
    model = Qwen2_5_VL_GP_ForConditionalGeneration.from_pretrained(base, dtype="float32", **options)
    model.load_new_modules(modules)
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return load(tiny.base_folder(), tiny.published_folder())


@pytest.fixture(scope="module")
def processor():
    return Qwen2_5_VL_GP_Processor.from_pretrained(tiny.base_folder())


@pytest.fixture(scope="module")
def inputs(processor):
    return asked(processor, [tiny.picture()], ["What is it?"])


def asked(processor, pictures, questions, **more):
    """One picture per question."""
    chats = [
        [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": question}]}]
        for picture, question in zip(pictures, questions, strict=True)
    ]
    text = processor.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
    return processor(text=text, images=pictures, videos=None, padding=True, return_tensors="pt", **more)


def new(ids, inputs):
    return ids[:, inputs.input_ids.shape[1] :]


# ------------------------------------------------------------------------------------------------ as published


def process_vision_info(messages):
    """What `qwen_vl_utils` gives for pictures that are open already; it cannot be imported without torchvision."""
    return [part["image"] for message in messages for part in message["content"] if part["type"] == "image"], None


@torch.inference_mode()
def test_the_published_snippet_runs_with_only_names_changed():
    base_model, new_modules_dir = str(tiny.base_folder()), str(tiny.published_folder())
    model = Qwen2_5_VL_GP_ForConditionalGeneration.from_pretrained(
        base_model, torch_dtype=torch.float32, attn_implementation="sdpa", device_map={"": "cpu"}
    )
    processor = Qwen2_5_VL_GP_Processor.from_pretrained(base_model, padding_side="left")
    model.load_new_modules(new_modules_dir)
    model.eval()
    generation_config = GenerationConfig.from_pretrained(base_model)
    generation_config.max_new_tokens = 12

    messages = [
        {
            "role": "user",
            "content": [{"type": "image", "image": tiny.picture()}, {"type": "text", "text": "What is it?"}],
        }
    ]
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    image_inputs, video_inputs = process_vision_info(messages)
    inputs = processor(text=[text], images=image_inputs, videos=video_inputs, padding=True, return_tensors="pt")
    inputs = inputs.to(model.device)

    image_token_bool_masks = model(**inputs, do_selection=True).image_token_bool_masks
    attn_hw = inputs.image_grid_thw[0, 1:] // 2
    image_token_bool_mask = image_token_bool_masks[0].reshape(attn_hw[0].item(), attn_hw[1].item())
    texts = []
    for do_selection in (True, False):
        model.reset_image_tokens_cache()
        generated_ids = model.generate(**inputs, generation_config=generation_config, do_selection=do_selection)
        trimmed = [out_ids[len(in_ids) :] for in_ids, out_ids in zip(inputs.input_ids, generated_ids, strict=True)]
        texts += processor.batch_decode(trimmed, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    loaded = tiny.model()
    session = Session.ask(loaded, tiny.picture(), "What is it?")
    kept = session.select().mask
    assert torch.equal(image_token_bool_mask.flatten(), kept)
    sampling = Sampling(max_new_tokens=12)
    assert [text.rstrip("\ufffd") for text in texts] == [
        session.answer(mask, sampling).complete().text for mask in (kept, None)
    ]
    assert texts[0] != texts[1], "pruning that changes nothing tests nothing"


@torch.inference_mode()
def test_the_snippet_of_our_documentation_runs_as_printed(processor):
    """Only the modules' name becomes a folder; `base`, `texts` and `images` are the reader's own."""
    code = Path("docs/dropin.md").read_text().split("```python\n")[1].split("```")[0]
    released = "ashun989/GlimpsePrune_Qwen2.5-VL-3B-Instruct"
    assert code.count(released) == 1
    pictures = [tiny.picture(), tiny.picture(84, 56, seed=1)]
    content = [{"type": "image"}, {"type": "text", "text": "Why?"}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
    names = {"base": str(tiny.base_folder()), "texts": [text] * 2, "images": pictures}
    exec(code.replace(released, str(tiny.published_folder())), names)  # noqa: S102
    assert names["model"].dtype == torch.bfloat16
    assert [len(mask) for mask in names["masks"]] == [20, 6] and 0 < torch.cat(names["masks"]).sum() < 26
    longest = names["inputs"]["input_ids"].shape[1]
    assert len(names["ids"]) == 2 and longest < names["ids"].shape[1] <= longest + 64


def read(path):
    with np.load(path) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


@torch.inference_mode()
@pytest.mark.parametrize("case", ["a_square", "i_gqa_deep_reduce", "k_batch_left_pad", "h_anchors"])
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
def test_the_official_tokens_and_masks(case, attn):
    given, expected = (read(GOLDEN / case / name) for name in ("inputs.npz", "expected.npz"))
    base = json.loads((GOLDEN / case / "case.json").read_text())["base"]
    model = load(GOLDEN / case / base, GOLDEN / case / "new_modules", attn_implementation=attn)
    rows = len(given["input_ids"])
    if rows > 1:  # the original decoded all rows with the last one's positions: what it gives for each row alone counts
        expected["gen_ids_pruned"] = torch.cat([expected[f"gen_ids_pruned_row{row}"] for row in range(rows)])
    for do_selection, kind in ((True, "gen_ids_pruned"), (False, "gen_ids_unpruned")):
        ids = model.generate(**given, max_new_tokens=12, do_sample=False, eos_token_id=None, do_selection=do_selection)
        assert torch.equal(ids[:, given["input_ids"].shape[1] :], expected[kind])
    out = model(**given, do_selection=True)
    for row, (mask, logits) in enumerate(zip(out.image_token_bool_masks, out.image_token_mask_logits, strict=True)):
        assert torch.equal(mask, expected[f"mask_bool_{row}"])
        torch.testing.assert_close(logits, expected[f"mask_logits_{row}"], atol=1e-4, rtol=0)
    real = expected["pruned_attention_mask"].bool()
    assert torch.equal(out.attention_mask.bool(), real)
    assert torch.equal(out.position_ids[:, real], expected["pruned_position_ids"][:, real])
    wanted = expected["pruned_prefill_logits"][real]
    torch.testing.assert_close(out.logits[real], wanted, atol=1e-4, rtol=0)


# ------------------------------------------------------------------------------------------------ ways of decoding


@pytest.fixture(scope="module")
def oracled(inputs):
    """The stock model, the prompt, what is kept and the layers that see everything: what the slow oracle takes."""
    engine = tiny.model()
    prompt = tiny.prompt(engine)
    assert torch.equal(prompt.input_ids, inputs.input_ids)
    with torch.inference_mode():
        kept = engine.backbone.keep_mask(prompt, GlimpsePruner(engine)(prompt).kept)
    return engine.backbone.hf, prompt, kept.clone(), engine.keep_depth


def test_greedy_answers_are_the_oracles(model, inputs, oracled):
    assert torch.equal(new(model.generate(**inputs, **GREEDY), inputs), oracle.answer(*oracled, 6)[0])


def test_beams_are_the_oracles(model, inputs, oracled):
    options = GREEDY | dict(max_new_tokens=4, num_beams=3, num_return_sequences=3)
    assert torch.equal(new(model.generate(**inputs, **options), inputs), oracle.beams(*oracled, 4, 3))


def test_sampled_answers_are_the_oracles(model, inputs, oracled):
    """The same seed draws the same tokens."""

    def draw(logits):
        return torch.multinomial((logits / 1.5).softmax(-1), 1)

    torch.manual_seed(11)
    options = GREEDY | dict(do_sample=True, temperature=1.5, top_k=0, top_p=1.0)
    drawn = new(model.generate(**inputs, **options), inputs)
    torch.manual_seed(11)
    assert torch.equal(drawn, oracle.answer(*oracled, 6, draw)[0])
    assert not torch.equal(drawn, oracle.answer(*oracled, 6)[0]), "a greedy draw tests nothing"


def test_every_sampled_sequence_starts_from_the_pruned_prompt(model, inputs):
    """With top_k=1 sampling is greedy, so every copy must give the greedy answer."""
    wanted = new(model.generate(**inputs, **GREEDY), inputs)
    several = model.generate(**inputs, **(GREEDY | dict(do_sample=True, top_k=1, num_return_sequences=3)))
    assert torch.equal(new(several, inputs), wanted.expand(3, -1))
    assert torch.equal(new(model.generate(**inputs, **GREEDY, num_beams=1, num_return_sequences=1), inputs), wanted)


def test_a_streamer_gives_the_same_text(model, processor, inputs):
    streamer = TextIteratorStreamer(processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
    worker = threading.Thread(
        target=model.generate, kwargs=dict(inputs, **GREEDY, do_selection=True, streamer=streamer)
    )
    worker.start()
    streamed = "".join(streamer)
    worker.join()
    wanted = new(model.generate(**inputs, **GREEDY, do_selection=True), inputs)
    assert streamed == processor.batch_decode(wanted, skip_special_tokens=True)[0]


def own_loop(model, input_ids, **kwargs):
    """A way of decoding that transformers may get one day: it does not go through `_prefill`."""
    return model(**model.prepare_inputs_for_generation(input_ids, **kwargs))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (dict(prompt_lookup_num_tokens=3), "prompt_lookup_num_tokens"),
        (dict(cache_implementation="static"), "cache_implementation"),
        (dict(custom_generate=own_loop), "custom_generate"),
        (dict(return_dict_in_generate=True, output_hidden_states=True), "output_hidden_states"),
    ],
)
def test_what_would_not_prune_is_refused_and_runs_unpruned(model, inputs, options, named):
    with pytest.raises(GlimpseError, match=named):
        model.generate(**inputs, max_new_tokens=3, do_selection=True, **options)
    if "custom_generate" not in options:
        model.generate(**inputs, max_new_tokens=3, do_selection=False, **options)


def test_a_chat_cannot_go_on_from_a_pruned_cache(model, inputs):
    first = model.generate(**inputs, **GREEDY, return_dict_in_generate=True)
    longer = torch.cat([first.sequences, torch.tensor([[5, 6, 7]])], 1)
    for pruned in (first.past_key_values, copy.deepcopy(first.past_key_values), model(**inputs).past_key_values):
        with pytest.raises(GlimpseError, match="whole conversation"):
            model.generate(longer, past_key_values=pruned, **GREEDY)
    whole = model.generate(**inputs, **GREEDY, return_dict_in_generate=True, pruner=NoPruner(model.glimpse_model))
    model.generate(longer, past_key_values=whole.past_key_values, **GREEDY)  # nothing is missing from this one


def test_chats_with_no_one_and_two_pictures_in_one_call(model, processor):
    """As the published batch example, and as each alone; the pictures are one list in the order of the chats."""
    pictures = [tiny.picture(140, 112, seed=1), tiny.picture(84, 56, seed=2), tiny.picture(56, 140, seed=3)]
    chats = [([], "How many legs has a spider?"), (pictures[:1], "Why?"), (pictures[1:], "Which of the two is it?")]

    def content(some, said):
        return [*({"type": "image", "image": one} for one in some), {"type": "text", "text": said}]

    def prepared(rows):
        messages = [[{"role": "user", "content": content(some, said)}] for some, said in rows]
        text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        given = [one for some, _ in rows for one in some] or None
        return processor(text=text, images=given, videos=None, padding=True, return_tensors="pt")

    inputs = prepared(chats)
    together = new(model.generate(**inputs, **GREEDY, do_selection=True), inputs)
    masks = model(**inputs, do_selection=True).image_token_bool_masks
    assert [len(mask) for mask in masks] == [0, 20, 6 + 10]
    for row, chat in enumerate(chats):
        alone = prepared([chat])
        assert torch.equal(together[row : row + 1], new(model.generate(**alone, **GREEDY, do_selection=True), alone))


# ------------------------------------------------------------------------------------------------ settings of a call


@pytest.mark.parametrize(
    ("call", "selection"),
    [
        (dict(threshold=0.7), Selection(threshold=0.7)),
        (dict(reduce_threshold=0.99, min_remain_num=4), Selection(threshold=0.99, min_tokens=4)),
        (dict(max_remain_ratio=0.111, min_remain_num=None), Selection(max_ratio=0.111, min_tokens=0)),
        (dict(max_ratio=0.2, anchor_positions=["tl", "br"]), Selection(max_ratio=0.2, anchors=("tl", "br"))),
        (dict(selection=Selection(0.4), min_tokens=2), Selection(0.4, min_tokens=2)),
    ],
)
def test_settings_belong_to_the_call(model, inputs, call, selection):
    before = model.config.to_dict(), set(vars(model)), model.generate(**inputs, **GREEDY)
    engine = tiny.model()
    with torch.inference_mode():
        wanted = GlimpsePruner(engine, selection)(tiny.prompt(engine)).kept[0]
        (mask,) = model(**inputs, do_selection=True, **call).image_token_bool_masks
        (default,) = model(**inputs, do_selection=True).image_token_bool_masks
    assert torch.equal(mask, wanted)
    assert not torch.equal(mask, default), "a setting that changes nothing tests nothing"
    ids = model.generate(**inputs, **GREEDY, do_selection=True, **call)
    assert torch.equal(ids, model.generate(**inputs, **GREEDY, pruner=MaskPruner(model.glimpse_model, (wanted,))))
    after = model.config.to_dict(), set(vars(model)), model.generate(**inputs, **GREEDY)
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


def test_what_published_scripts_write_to_the_config_is_read(inputs):
    own = load(tiny.base_folder(), tiny.published_folder())
    wanted = own(**inputs, max_remain_ratio=0.111).image_token_bool_masks[0]
    own.config.max_remain_ratio = 0.111
    assert torch.equal(own(**inputs).image_token_bool_masks[0], wanted)
    assert own(**inputs, max_ratio=None).image_token_bool_masks[0].sum() > wanted.sum(), "the call has the last word"
    own.config.reduce_layer = 1
    with pytest.raises(GlimpseError, match="reduce_layer"):
        own.generate(**inputs, **GREEDY)


def test_another_pruner_for_one_call(model, inputs):
    random = RandomPruner(model.glimpse_model, ratio=0.2)
    with torch.inference_mode():
        (mask,) = model(**inputs, pruner=random).image_token_bool_masks
    assert int(mask.sum()) == round(0.2 * len(mask))
    assert model(**inputs, pruner=random).image_token_mask_logits is None
    bare = Qwen2_5_VL_GP_ForConditionalGeneration.from_pretrained(tiny.base_folder(), dtype="float32")
    for own in (model, bare):  # methods that have nothing to learn need no glimpse modules
        pruner = build("divprune", own.glimpse_model, ratio=0.2)
        engine = tiny.model()
        with torch.no_grad():
            branch = build("divprune", engine, ratio=0.2)(tiny.prompt(engine)).branch
            wanted, *_ = greedy(engine.backbone, finish(engine.backbone, branch), 6)
        assert torch.equal(new(own.generate(**inputs, **GREEDY, pruner=pruner), inputs), wanted)
    with pytest.raises(GlimpseError, match="another model"):
        model.generate(**inputs, pruner=RandomPruner(tiny.model()))
    with pytest.raises(GlimpseError, match="threshold"):
        model.generate(**inputs, pruner=random, threshold=0.1)


def test_masks_of_the_caller(model, processor):
    pictures = [tiny.picture(), tiny.picture(84, 112, seed=1)]
    boxes = [[(0.0, 0.0, 0.4, 0.4)], [(0.5, 0.5, 0.9, 0.9)]]
    inputs = asked(processor, pictures, ["What is it?", "And this?"], normed_bboxes=boxes)
    shapes = [tuple(mask.shape) for mask in inputs["ref_token_masks"]]
    assert shapes == [(4, 5), (4, 3)]
    out = model(**inputs, use_ref_masks=True)
    wanted = tuple(mask.flatten() for mask in inputs["ref_token_masks"])
    assert all(map(torch.equal, out.image_token_bool_masks, wanted))
    ids = model.generate(**inputs, **GREEDY, use_ref_masks=True)
    assert torch.equal(ids, model.generate(**inputs, **GREEDY, pruner=MaskPruner(model.glimpse_model, wanted)))
    free = model.generate(**inputs, **GREEDY)  # without the flag they are only carried along, as published
    inputs.pop("ref_token_masks")
    assert torch.equal(free, model.generate(**inputs, **GREEDY))
    with pytest.raises(GlimpseError, match="ref"):
        model.generate(**inputs, **GREEDY, use_ref_masks=True)


def test_calls_with_different_settings_at_the_same_time(model, inputs):
    calls = [dict(threshold=0.3), dict(max_ratio=0.1), dict(do_selection=False), dict(num_beams=2, min_tokens=15)]
    wanted = [model.generate(**inputs, **(GREEDY | call)) for call in calls]
    with ThreadPoolExecutor(len(calls)) as pool:
        found = list(pool.map(lambda call: model.generate(**inputs, **(GREEDY | call)), calls * 3))
    assert all(map(torch.equal, found, wanted * 3))
    assert len({tuple(ids[0].tolist()) for ids in wanted}) > 2


# ------------------------------------------------------------------------------------------------ a model like others


def test_without_selection_it_is_the_stock_class(model, inputs):
    stock = tiny.model().backbone.hf
    labels = inputs.input_ids.clone()
    with torch.inference_mode():
        assert torch.equal(model(**inputs, do_selection=False).logits, stock(**inputs).logits)
        assert torch.equal(model(**inputs, labels=labels).loss, stock(**inputs, labels=labels).loss)
    text = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(model.generate(text, **GREEDY, do_selection=True), stock.generate(text, **GREEDY))
    assert torch.equal(model.generate(**inputs, **GREEDY, do_selection=False), stock.generate(**inputs, **GREEDY))


def test_forward_refuses_what_does_not_go_with_pruning(model, inputs):
    for extra in (dict(labels=inputs.input_ids), dict(output_attentions=True), dict(inputs_embeds=torch.zeros(1))):
        with pytest.raises(GlimpseError, match=next(iter(extra))):
            model(**inputs, do_selection=True, **extra)
    without_ids = {name: value for name, value in inputs.items() if name != "input_ids"}
    with pytest.raises(GlimpseError, match="input_ids were not given"):
        model(**without_ids, do_selection=True)
    with pytest.raises(GlimpseError, match="delay_selection"):
        model(**inputs, delay_selection=True)


def test_only_the_last_logits(model, inputs):
    with torch.inference_mode():
        whole, last = model(**inputs), model(**inputs, logits_to_keep=1, use_cache=False)
        torch.testing.assert_close(last.logits, whole.logits[:, -1:])
        assert last.past_key_values is None
        assert torch.equal(model(**inputs, return_dict=False)[0], whole.logits)


def test_modules_move_with_the_model_and_are_not_saved_with_it(inputs, tmp_path):
    own = load(tiny.base_folder(), tiny.published_folder(), attn_implementation="eager")
    assert own.glimpse_model.attn == "eager"
    own.set_attn_implementation("sdpa")
    assert own.glimpse_model.attn == "sdpa"
    before = own.generate(**inputs, **GREEDY)
    own.to(torch.bfloat16)
    assert {p.dtype for p in own.glimpse_model.vip.parameters()} == {torch.bfloat16}
    own.generate(**inputs, **GREEDY)
    again = load(tiny.base_folder(), tiny.published_folder())
    again.save_pretrained(tmp_path)
    assert not any("vip" in name or "glimpse" in name for name in again.state_dict())
    assert torch.equal(load(tmp_path, tiny.published_folder()).generate(**inputs, **GREEDY), before)


def test_weights_that_accelerate_keeps_elsewhere(model, inputs, tmp_path):
    """`device_map="auto"` does this where memory is short: those weights have no device between two runs."""
    parts = [f"model.language_model.layers.{index}" for index in range(tiny.LAYERS)]
    parts += ["model.visual", "model.language_model.embed_tokens", "model.language_model.norm", "lm_head"]
    away = {parts[1], parts[3], "model.visual", "lm_head"}
    places = {part: "disk" if part in away else "cpu" for part in parts} | {"model.language_model.rotary_emb": "cpu"}
    own = load(tiny.base_folder(), tiny.published_folder(), device_map=places, offload_folder=tmp_path)
    assert own.device.type == "meta"
    assert own.glimpse_model.device.type == "cpu"
    assert torch.equal(own.generate(**inputs, **GREEDY), model.generate(**inputs, **GREEDY))
    assert torch.equal(own(**inputs).image_token_bool_masks[0], model(**inputs).image_token_bool_masks[0])


def test_loading_says_what_is_wrong(tmp_path, inputs):
    bare = Qwen2_5_VL_GP_ForConditionalGeneration.from_pretrained(tiny.base_folder(), dtype="float32")
    assert torch.equal(bare.generate(**inputs, **GREEDY), tiny.model().backbone.hf.generate(**inputs, **GREEDY))
    with pytest.raises(GlimpseError, match="load_new_modules"):
        bare.generate(**inputs, **GREEDY, do_selection=True)
    with pytest.raises(GlimpseError, match="config.json"):
        bare.load_new_modules(tmp_path)
    own, missing = Qwen2_5_VL_GP_ForConditionalGeneration, str(tmp_path / "missing")
    for place, options, said in (
        (missing, {}, "missing has no config.json. Expected a model folder"),
        (tiny_llava.base_folder(), {}, "is a llava model. Expected qwen2_5_vl for Qwen2_5_VL_GP_For"),
        (tiny.base_folder(), dict(dtype="int8"), "dtype is 'int8'. Expected auto"),
        (tiny.base_folder(), dict(torch_dtype=torch.int8), "dtype is 'int8'. Expected auto"),
        (tiny.base_folder(), dict(device_map="cuda:7"), "device is cuda"),
        (tiny.base_folder(), dict(device_map={"": 7}), "device is cuda"),
    ):
        with pytest.raises(GlimpseError, match=said):
            own.from_pretrained(place, **options)
    AttentionInterface.register("strange", sdpa_attention_forward)
    with pytest.raises(GlimpseError, match="strange"):
        load(tiny.base_folder(), tiny.published_folder(), attn_implementation={"text_config": "strange"})
    bare.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] += 1
    config["text_config"].pop("layer_types", None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(GlimpseError, match="lacks 12 tensors"):
        Qwen2_5_VL_GP_ForConditionalGeneration.from_pretrained(tmp_path)


def test_hub_names_and_revisions(cache):  # noqa: F811
    put(cache, "tiny/base", tiny.base_folder())
    put(cache, "tiny/base", tiny_llava.base_folder(), "b" * 40, "older")
    own = Qwen2_5_VL_GP_ForConditionalGeneration
    model = own.from_pretrained(pretrained_model_name_or_path="tiny/base", revision="main", dtype="float32")
    assert model.name_or_path == model.config._name_or_path == "tiny/base"  # which adapters note as their base
    assert own.from_pretrained("tiny/base", cache_dir=str(cache), local_files_only=True).device.type == "cpu"
    with pytest.raises(GlimpseError, match="tiny/base is a llava model"):
        own.from_pretrained("tiny/base", revision="older")
    with pytest.raises(GlimpseError, match="tiny/other cannot be fetched .* unset HF_HUB_OFFLINE"):
        own.from_pretrained("tiny/other")


def test_the_processor_refuses_videos_and_boxes_without_their_picture(processor):
    with pytest.raises(GlimpseError, match="videos"):
        processor(text=["a"], videos=[object()])
    with pytest.raises(GlimpseError, match="has 1 entries. Expected one per image: 0"):
        processor(text=["a"], normed_bboxes=[[]])


def test_the_published_limits_of_picture_sizes():
    small = Qwen2_5_VL_GP_Processor.from_pretrained(tiny.base_folder(), min_pixels=4 * 784, max_pixels=9 * 784)
    large = Qwen2_5_VL_GP_Processor.from_pretrained(tiny.base_folder(), min_pixels=49 * 784)
    sizes = [asked(one, [tiny.picture(140, 140)], ["?"])["image_grid_thw"].tolist() for one in (small, large)]
    assert sizes == [[[1, 6, 6]], [[1, 14, 14]]]


def test_videos_are_refused_by_the_model(model, inputs):
    for run in (model, model.generate):
        with pytest.raises(GlimpseError, match="video"):
            run(**inputs, pixel_values_videos=torch.zeros(4, 1176), do_selection=True)
    engine = tiny.model()
    prompt = clip(engine, (1.5,))
    asked = {"input_ids": prompt.input_ids, "mm_token_type_ids": prompt.mm_token_type_ids}
    asked |= {"pixel_values_videos": prompt.pixel_values, "video_grid_thw": prompt.image_grid_thw}
    for run in (model, model.generate):  # a video alone, which the stock class would answer
        for do_selection in (True, None):
            with pytest.raises(GlimpseError, match="do_selection=False"):
                run(**asked, do_selection=do_selection)
    ids = model.generate(**asked, **GREEDY, do_selection=False)
    assert torch.equal(ids, engine.backbone.hf.generate(**asked, **GREEDY))


def test_the_session_takes_a_dropin(model, inputs):
    """Its `glimpse_model` is a `GlimpseModel` like any other."""
    session = Session(replace(model.glimpse_model), tiny.prompt(tiny.model()))
    assert torch.equal(session.select().mask, model(**inputs).image_token_bool_masks[0])
