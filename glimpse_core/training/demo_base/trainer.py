"""Training of the demo base model from scratch: resumable, logged, on one CPU core.

The losses: next-token cross entropy of all answers, those of `heads`, and the attention that answer-predicting
positions pay to their evidence. The saved model is a stock Qwen2.5-VL.
"""

import json
import math
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig

from glimpse_core.errors import GlimpseError
from glimpse_core.training.demo_base import model as demo_model
from glimpse_core.training.demo_base.data import BaseBatch, BaseData
from glimpse_core.training.demo_base.forward import BaseOutput, forward
from glimpse_core.training.demo_base.heads import DenseHeads
from glimpse_core.training.demo_base.losses import cover_loss, look_loss
from glimpse_core.training.demo_base.optimizer import Optimizer
from glimpse_core.training.demo_base.packing import Packer
from glimpse_core.training.demo_base.probe import probe
from glimpse_core.training.demo_base.recipe import Recipe
from glimpse_core.training.demo_base.text import save_tokenizer, train_tokenizer
from glimpse_core.training.demo_base.vision import encode_images

REPORT_EVERY = 25  # steps
SAVE_EVERY = 120.0  # seconds
PROBE_EVERY = 15.0  # minutes of training
FOREVER = 10**9  # steps


class BaseTrainer:
    """A run: the model, the heads, the optimizer and the folder they are saved in."""

    def __init__(self, out: Path, recipe: Recipe, workers: int = 1) -> None:
        self.out, self.recipe, self.workers = out, recipe, workers
        out.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(1)
        if not (out / "tokenizer.json").exists():
            save_tokenizer(train_tokenizer(), out)
        self.tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
        self.packer = Packer(self.tokenizer)
        self.head_ids = self.packer.head()
        self.model = demo_model.build(self.tokenizer, recipe.shape, recipe.stages[0].layers, recipe.seed)
        text = cast(PreTrainedConfig, self.model.config.text_config)
        channels = len(recipe.supervision.mask_layers) * text.num_attention_heads
        self.heads = DenseHeads(self.packer, text.hidden_size, channels)
        self.optimizer = Optimizer(self.model, self.heads, recipe)
        self.step, self.minute = 0, 0.0
        self.shared_minute = torch.zeros(1).share_memory_()

    @property
    def layers(self) -> int:
        """Number of decoder layers."""
        return cast(int, cast(PreTrainedConfig, self.model.config.text_config).num_hidden_layers)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that is trained."""
        return [*self.model.parameters(), *self.heads.parameters()]

    def grow(self, layers: int) -> None:
        """Add decoder layers after those that K counts; the optimizer keeps what it knows of the others."""
        first = max(self.recipe.supervision.look_layers)
        before, optimizer = dict(self.model.named_parameters()), self.optimizer
        self.model, names = demo_model.grown(self.model, self.tokenizer, self.recipe.shape, layers, first)
        self.optimizer = Optimizer(self.model, self.heads, self.recipe)
        kept = [(p, before[names[name]]) for name, p in self.model.named_parameters() if name in names]
        self.optimizer.take_over(optimizer, [*kept, *((one, one) for one in self.heads.parameters())])

    def resume(self) -> bool:
        """Continue from the last checkpoint of this folder. Returns whether there is one."""
        if not (self.out / "training.pt").exists():
            return False
        state: dict[str, Any] = torch.load(self.out / "training.pt", weights_only=True)
        if state.get("layers", 9) > self.layers:
            self.grow(state["layers"])
        own = {name: tensor.shape for part in (self.model, self.heads) for name, tensor in part.state_dict().items()}
        if own != {name: tensor.shape for part in ("model", "heads") for name, tensor in state[part].items()}:
            raise GlimpseError(
                f"{self.out} holds a run of another shape or with other losses. Expected a run of this recipe: name "
                "another folder to start one."
            )
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.minute = state["step"], state["minute"]
        return True

    def checkpoint(self) -> None:
        """Write the whole state; an interrupted write leaves the previous one."""
        state = {
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "minute": self.minute,
            "layers": self.layers,
        }
        torch.save(state, self.out / "training.tmp")
        os.replace(self.out / "training.tmp", self.out / "training.pt")

    def rate(self) -> float:
        """Return the share of the peak learning rates: warm-up, then the stage's, then a cosine down to 2%."""
        recipe = self.recipe
        warm = min(1.0, (self.step + 1) / recipe.warmup)
        fall = (self.minute - recipe.decay_from) / (recipe.minutes - recipe.decay_from)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, fall))))
        return recipe.stage_at(self.minute).rate * warm * (0.02 + 0.98 * cosine)

    def losses(self, batch: BaseBatch, dense_only: bool) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted sum of all losses, and each by name. dense_only: those of the vision tower alone."""
        weights, words = self.recipe.weights, cast(nn.Embedding, self.model.get_input_embeddings())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = None if dense_only else forward(self.model, batch, self.head_ids, self.recipe.supervision)
            visual = encode_images(self.model, batch.pixels) if output is None else output.visual
            dense, accuracy = self.heads.dense(visual, batch, words)
            word, right = self.heads.words(visual, batch, words)
            named = {"dense": dense.item(), "word": word.item(), **accuracy, **right}
            total = weights.dense * dense + weights.words * word
            if output is not None:
                more, parts = self._answer_losses(output, batch)
                total, named = total + more, named | parts
        return total, named

    def _answer_losses(self, output: BaseOutput, batch: BaseBatch) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted sum of the losses of answers and attention, and each by name."""
        weights, words = self.recipe.weights, cast(nn.Embedding, self.model.get_input_embeddings())
        later, right = self.heads.later_words(output.located, batch, words)
        parts = {
            "answer": (1.0, F.cross_entropy(output.logits.float(), output.targets)),
            "look": (weights.look, look_loss(output.masses, output.visual)),
            "cover": (weights.cover, cover_loss(output.spreads, batch, output.visual)),
            "mask": (weights.mask, self.heads.mask(output.relevance, batch)),
            "locate": (weights.locate, self.heads.locate(output.located, batch)),
            "point": (weights.locate, self.heads.point(output.pointed, batch)),
            "later_word": (weights.words, later),
        }
        named = {name: loss.item() for name, (_, loss) in parts.items()}
        named |= {f"later_{name}": value for name, value in right.items()}
        named["token"] = (output.logits.argmax(-1) == output.targets).float().mean().item()
        return torch.stack([weight * loss for weight, loss in parts.values()]).sum(), named

    def train(self, steps: int | None = None) -> None:
        """Run to the end of the schedule, writing log.jsonl and checkpoints. steps: stop after this many."""
        self.shared_minute.fill_(self.minute)
        file = str(self.out / "tokenizer.json")
        data = BaseData(file, self.recipe.seed + self.step, self.shared_minute, self.recipe)
        loader = torch.utils.data.DataLoader(
            data, batch_size=None, num_workers=self.workers, prefetch_factor=4 if self.workers else None
        )
        (self.out / "recipe.json").write_text(json.dumps(asdict(self.recipe), indent=1) + "\n")
        sums: dict[str, list[float]] = {}
        clock, saved, probed = time.process_time(), time.monotonic(), self.minute
        last = self.step + (FOREVER if steps is None else steps)
        for batch in loader:
            if self.minute >= self.recipe.minutes or self.step >= last:
                break
            for name, value in self._take_step(batch).items():
                sums.setdefault(name, []).append(value)
            now = time.process_time()
            self.minute, clock = self.minute + (now - clock) / 60, now
            self.shared_minute.fill_(self.minute)
            if self.step % REPORT_EVERY == 0:
                self.report({name: round(sum(values) / len(values), 4) for name, values in sums.items()})
                sums = {}
            if self.minute - probed >= PROBE_EVERY and not self.recipe.stage_at(self.minute).dense_only:
                probed = self.minute
                self.report({"probe": self.probe()})
            if time.monotonic() - saved >= SAVE_EVERY:
                self.checkpoint()
                saved = time.monotonic()
        self.checkpoint()
        demo_model.save(self.model, self.tokenizer, self.out / "model")

    def _take_step(self, batch: BaseBatch) -> dict[str, float]:
        stage = self.recipe.stage_at(self.minute)
        if stage.layers > self.layers:
            self.grow(stage.layers)
        start = time.process_time()
        total, named = self.losses(batch, stage.dense_only)
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimizer.step(self.rate())
        self.step += 1
        return named | {
            "seconds": time.process_time() - start,
            "tokens": float(batch.ids.numel() + batch.alone.numel()),
        }

    def probe(self) -> dict[str, float]:
        """Return the share of right answers by type, on images for tuning of the sizes of this stage."""
        stage, depth = self.recipe.stage_at(self.minute), min(self.recipe.supervision.depths)
        return probe(self.model, self.packer, stage, self.recipe.budget, depth)

    def report(self, values: dict[str, Any]) -> None:
        """Append values to log.jsonl, and print them."""
        line = {"step": self.step, "minute": round(self.minute, 2), **values}
        with (self.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(" ".join(f"{name} {value}" for name, value in line.items()), flush=True)
