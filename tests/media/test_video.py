"""Video on Qwen2.5-VL, on ready-made tensors: as the stock model sees it, pruned per temporal slice, and refusals."""

from __future__ import annotations

import importlib.util

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from glimpse_core.__main__ import main
from glimpse_core.backbones.layout import part
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.look import look
from glimpse_core.inference.decoding import finish, next_logits
from glimpse_core.inference.session import Session
from glimpse_core.media.video import frames
from glimpse_core.pruners import GlimpsePruner, NoPruner
from glimpse_core.types import Grid, Sampling, Selection
from tests.support import oracle, tiny, tiny_llava

SLICES, ROWS, COLS = 3, 4, 6
TOKENS = SLICES * ROWS * COLS


def clip(model, seconds=(1.5,), slices=SLICES):
    """A prompt about a video of random patches, every slice different."""
    config = model.backbone.hf.config
    generator = torch.Generator().manual_seed(3)
    size = torch.tensor([[slices, 2 * ROWS, 2 * COLS]])
    pixels = torch.randn(int(size.prod()), 3 * 2 * 14 * 14, generator=generator)
    words = torch.randint(10, 90, (14,), generator=generator)
    inside = torch.full((slices * ROWS * COLS,), config.video_token_id)
    start, end = torch.tensor([config.vision_start_token_id]), torch.tensor([config.vision_end_token_id])
    ids = torch.cat([words[:5], start, inside, end, words[5:]])[None]
    return model.backbone.prompt(ids, pixels, size, seconds=seconds)


def stock(prompt):
    """What the stock model takes for the same video."""
    return {
        "input_ids": prompt.input_ids, "attention_mask": prompt.attention_mask,
        "pixel_values_videos": prompt.pixel_values, "video_grid_thw": prompt.image_grid_thw,
        "second_per_grid_ts": torch.tensor(prompt.seconds), "mm_token_type_ids": prompt.mm_token_type_ids,
    }  # fmt: skip


@pytest.mark.parametrize("seconds", [0.25, 1.5])
def test_keeping_everything_is_the_stock_model(seconds):
    model = tiny.model()
    prompt = clip(model, (seconds,))
    assert prompt.grids == (Grid(ROWS, COLS),) * SLICES
    with torch.no_grad():
        wanted = model.backbone.hf(**stock(prompt)).logits[:, -1]
        found = next_logits(model.backbone, finish(model.backbone, NoPruner(model)(prompt).branch))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    positions = model.backbone.positions(prompt)
    times = positions[0, 0, prompt.input_ids[0] == model.backbone.hf.config.video_token_id].view(SLICES, -1)
    interval = int(model.backbone.hf.config.vision_config.tokens_per_second * seconds)
    assert (times.diff(dim=0) == interval).all()


def test_the_full_answer_is_generates():
    model = tiny.model()
    prompt = clip(model)
    generated = model.backbone.hf.generate(**stock(prompt), max_new_tokens=8, do_sample=False)
    answer = Session(model, prompt).answer(None, Sampling(max_new_tokens=8)).complete()
    assert answer.tokens == generated[0, prompt.input_ids.shape[1] :].tolist()


def test_every_slice_is_a_picture_for_the_predictor():
    """Its logits are those of the slice alone with the same attention and conditions."""
    model = tiny.model()
    prompt = clip(model)
    with torch.no_grad():
        vision = model.backbone.encode_images(prompt, model.config.vision_layers)
        _, scores = look(model, prompt, vision)
        layout = model.backbone.layout(prompt)
        assert layout.lengths == (ROWS * COLS,) * SLICES
        for number in range(SLICES):
            index = torch.arange(number * ROWS * COLS, (number + 1) * ROWS * COLS)
            alone = model.vip(scores.attention[index], vision.conditions[:, index], part(layout, index))
            torch.testing.assert_close(scores.logits[0][:, index], alone, atol=1e-5, rtol=1e-5)


def test_a_pruned_answer_equals_the_slow_recompute(monkeypatch):
    model = tiny.model()
    prompt = clip(model)
    session = Session(model, prompt)
    kept = session.select(Selection(threshold=0.0, max_ratio=0.3))
    assert int(kept.mask.sum()) == int(0.3 * TOKENS)
    answer = session.answer(kept.mask, Sampling(max_new_tokens=6)).complete()
    # The oracle knows pictures only: it is told where the video's tokens stand and that they take a picture's place.
    hf = model.backbone.hf
    monkeypatch.setattr(oracle, "_positions", lambda hf, prompt: model.backbone.positions(prompt))
    monkeypatch.setattr(hf.config, "image_token_id", hf.config.video_token_id)
    mask = torch.ones_like(prompt.input_ids, dtype=torch.bool)
    mask[prompt.input_ids == hf.config.video_token_id] = kept.mask
    ids, _ = oracle.answer(hf, prompt, mask, model.keep_depth, 6)
    assert ids[0].tolist() == answer.tokens
    pruned = GlimpsePruner(model, Selection(threshold=0.0, max_ratio=0.3))(prompt)
    assert torch.equal(pruned.kept[0], kept.mask)


def test_impossible_videos_are_refused():
    model = tiny.model()
    with pytest.raises(GlimpseError, match="has 1 videos and 0 numbers of seconds"):
        clip(model, ())
    prompt = clip(model, slices=1)
    mixed = prompt.input_ids.clone()
    mixed[prompt.input_ids == model.backbone.hf.config.video_token_id] = model.backbone.image_token
    both = torch.cat([prompt.input_ids, mixed], dim=1)
    with pytest.raises(GlimpseError, match="images and a video"):
        model.backbone.prompt(both, prompt.pixel_values.repeat(2, 1), prompt.image_grid_thw.repeat(2, 1))


def pictures(folder, count=5):
    folder.mkdir()
    for index in range(count):
        tiny.picture(84, 56, seed=index).save(folder / f"{index:02}.png")
    return folder


def test_without_torchvision_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "torchvision" else real(name))
    folder = pictures(tmp_path / "frames")
    command = [
        "ask",
        "--video",
        str(folder),
        "-q",
        "What moves?",
        "--model",
        str(tiny.base_folder()),
        "--device",
        "cpu",
    ]
    assert main(command) == 2
    assert "pip install torchvision" in capsys.readouterr().err


def test_the_command_answers_about_frames(tmp_path, capsys, monkeypatch):
    """With tensors in place of the video processor, which needs torchvision."""
    model = tiny.model()
    seen = []

    def video(self, given):
        seen.append(len(given))
        prompt = clip(model, slices=len(given) // 2)
        return prompt.pixel_values, prompt.image_grid_thw

    monkeypatch.setattr(type(model.processor), "video", video)
    folder = pictures(tmp_path / "frames")
    overlay = tmp_path / "out.png"
    command = ["ask", "--video", str(folder), "-q", "What moves?", "--model", str(tiny.base_folder()), "--device"]
    assert main([*command, "cpu", "--pruner", "none", "--max-new-tokens", "3", "--json"]) == 0
    assert seen == [4]
    assert '"before": 48' in capsys.readouterr().out
    assert not overlay.exists()
    assert main(["ask", "-q", "What?", "--model", "demo"]) == 2
    assert "Neither images nor --video were given" in capsys.readouterr().err


def test_frames_are_prepared_as_the_stock_processor_does():
    """Run by hand with torchvision 0.28.0; skipped where it is not installed."""
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessorPil, Qwen2VLVideoProcessor

    folder, model = tiny.base_folder(), tiny.model()
    tokenizer = model.processor.tokenizer
    parts = Qwen2VLImageProcessorPil.from_pretrained(folder), tokenizer, Qwen2VLVideoProcessor.from_pretrained(folder)
    stock = Qwen2_5_VLProcessor(*parts, chat_template=tokenizer.chat_template)
    given = [tiny.picture(84, 56, seed=seed) for seed in range(4)]
    chat = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What moves?"}]}]
    wanted = stock(
        text=stock.apply_chat_template(chat, tokenize=False, add_generation_prompt=True),
        videos=[np.stack([np.asarray(frame) for frame in given])],
        videos_kwargs={"do_sample_frames": False, "cap_pixels_per_frame": True},
        return_tensors="pt",
    )
    prompt = model.processor.video_prompt(model.backbone, given, "What moves?", 2.0)
    assert prompt.seconds == (1.0,)
    assert torch.equal(prompt.input_ids, wanted["input_ids"])
    assert torch.equal(prompt.image_grid_thw, wanted["video_grid_thw"])
    assert torch.equal(prompt.pixel_values, wanted["pixel_values_videos"])


def test_other_families_refuse_videos():
    with pytest.raises(GlimpseError, match="video was given to a llava model"):
        Session.ask_video(tiny_llava.model(), [tiny.picture()], "What moves?")
    with pytest.raises(GlimpseError, match="0 frames at 2.0 per second"):
        Session.ask_video(tiny.model(), [], "What moves?")


def test_frames_of_a_file_and_of_a_folder(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for index in range(30):  # three seconds, ever lighter
        writer.write(np.full((48, 64, 3), 8 * index, np.uint8))
    writer.release()
    found, rate = frames(tmp_path / "a.avi", fps=2.0)
    assert (len(found), rate) == (6, 2.0)
    assert [round(np.asarray(frame).mean() / 8) for frame in found] == [2, 7, 12, 17, 22, 27]
    few, rate = frames(tmp_path / "a.avi", fps=2.0, most=3)
    assert (len(few), round(rate, 3)) == (2, 0.667)
    folder = pictures(tmp_path / "frames")
    found, rate = frames(folder, fps=4.0)
    assert (len(found), rate) == (4, 3.2)
    Image.new("RGB", (10, 10)).save(folder / "99.png")
    with pytest.raises(GlimpseError, match="different sizes"):
        frames(folder)
    (tmp_path / "b.mp4").write_text("no video")
    for path, message in ((tmp_path / "b.mp4", "cannot be read as a video"), (tmp_path / "c.mp4", "does not exist")):
        with pytest.raises(GlimpseError, match=message):
            frames(path)
