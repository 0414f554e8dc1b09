"""Training of the demo base model from scratch: resumable, logged, on two CPU cores.

The losses: next-token cross entropy of all answers, those of `heads`, and the attention that answer-predicting
positions pay to their evidence. The saved model is a stock Qwen2.5-VL.
"""

import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, Qwen2_5_VLForConditionalGeneration

from glimpse_core.errors import GlimpseError
from glimpse_core.training.demo_base import model as demo_model
from glimpse_core.training.demo_base.curriculum import CURRICULUM, FURTHER, stage_at
from glimpse_core.training.demo_base.data import BaseBatch, BaseData
from glimpse_core.training.demo_base.forward import BaseOutput, encode_images, forward
from glimpse_core.training.demo_base.heads import DenseHeads
from glimpse_core.training.demo_base.packing import Packer
from glimpse_core.training.demo_base.text import save_tokenizer, train_tokenizer


@dataclass
class BaseSettings:
    """Everything that decides a run."""

    steps: int = 6000
    minutes: float | None = None  # if given, the schedule follows the clock instead of `steps`
    budget: int = 4400  # visual and text tokens per step
    learning_rate: float = 1.5e-3
    vision_rate: float = 1.0  # the vision tower's learning rate, as a share
    warmup: int = 150
    weight_decay: float = 0.05
    clip: float = 1.0
    dense_weight: float = 1.0
    look_weight: float = 0.1
    cover_weight: float = 0.25
    mask_weight: float = 0.5
    locate_weight: float = 0.1
    early_layers: tuple[int, ...] = (3,)
    look_layers: tuple[int, ...] = (5, 6)
    look_heads: tuple[int, ...] = (0, 3, 4)
    cover_layers: tuple[int, ...] = (4, 5)
    cover_heads: tuple[int, ...] = (1, 2)
    mask_layers: tuple[int, ...] = (4, 5)  # whose attention the VIP will read
    locate_after: int = 2
    text_layers: int = 8
    seed: int = 0
    workers: int = 1
    threads: int = 2


class BaseTrainer:
    """A run: the model, the heads, the optimizer and the folder they are saved in."""

    def __init__(self, out: Path, settings: BaseSettings) -> None:
        self.out, self.settings = out, settings
        out.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(settings.threads)
        if not (out / "tokenizer.json").exists():
            save_tokenizer(train_tokenizer(), out)
        self.tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
        self.packer = Packer(self.tokenizer)
        self.head_ids = self.packer.head()
        self.model = demo_model.build(self.tokenizer, settings.seed, text_layers=settings.text_layers)
        text = cast(PreTrainedConfig, self.model.config.text_config)
        self.heads = DenseHeads(self.packer, text.hidden_size, len(settings.mask_layers) * text.num_attention_heads)
        self.parameters = [*self.model.parameters(), *self.heads.parameters()]
        groups = []
        tower = {id(parameter) for parameter in self.model.model.visual.parameters()}
        for share, seeing in ((settings.vision_rate, True), (1.0, False)):
            own = [p for p in self.parameters if (id(p) in tower) == seeing]
            decayed, plain = [p for p in own if p.ndim > 1], [p for p in own if p.ndim <= 1]
            groups.append({"params": decayed, "weight_decay": settings.weight_decay, "share": share})
            groups.append({"params": plain, "weight_decay": 0.0, "share": share})
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)
        self.step, self.elapsed = 0, 0.0
        self.curriculum = CURRICULUM
        self.progress = torch.zeros(1).share_memory_()

    def resume(self) -> bool:
        """Continue from the last checkpoint of this folder. Returns whether there is one."""
        if not (self.out / "training.pt").exists():
            return False
        state = self._restore(self.out)
        self.step, self.elapsed = state["step"], state["elapsed"]
        self.curriculum = FURTHER if state.get("further") else CURRICULUM
        return True

    def start_from(self, folder: Path) -> None:
        """Begin with the weights of a saved demo model, or of a run with its heads and optimizer; a fresh schedule."""
        self.curriculum = FURTHER
        if (folder / "training.pt").exists():
            shares = [group["share"] for group in self.optimizer.param_groups]
            self._restore(folder)
            for group, share in zip(self.optimizer.param_groups, shares, strict=True):
                group["share"] = share  # these settings count, not the other run's
            return
        saved = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).state_dict()
        own = self.model.state_dict()
        wrong = [name for name in {**own, **saved} if name not in own or name not in saved]
        wrong += [name for name in own if name in saved and own[name].shape != saved[name].shape]
        if wrong:
            raise GlimpseError(
                f"{folder} is not a demo model of these sizes; the first difference is {wrong[0]}. Expected a demo "
                "model or a run: name another folder."
            )
        self.model.load_state_dict(saved)

    def _restore(self, folder: Path) -> dict[str, Any]:
        """Load model, heads and optimizer of a run's folder. Returns its whole saved state."""
        state: dict[str, Any] = torch.load(folder / "training.pt", weights_only=True)
        own = {name: tensor.shape for name, tensor in self.heads.state_dict().items()}
        if own != {name: tensor.shape for name, tensor in state["heads"].items()}:
            raise GlimpseError(
                f"{folder} was trained with other losses. Expected today's, so that its optimizer can go on: begin "
                f"with {folder / 'model'}, which has the weights alone."
            )
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        self.optimizer.load_state_dict(state["optimizer"])
        return state

    def checkpoint(self) -> None:
        """Write the whole state; an interrupted write leaves the previous one."""
        state = {
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
            "further": self.curriculum is FURTHER,
        }
        torch.save(state, self.out / "training.tmp")
        os.replace(self.out / "training.tmp", self.out / "training.pt")

    def share_done(self) -> float:
        """Return the share of the run that is done, 0..1, by the clock or by steps."""
        if self.settings.minutes is not None:
            return min(1.0, self.elapsed / 60 / self.settings.minutes)
        return min(1.0, self.step / self.settings.steps)

    def rate(self, done: float) -> float:
        """Return the learning rate: warm-up, then a cosine down to 2% of the peak. done: share of the run, 0..1."""
        warm = min(1.0, (self.step + 1) / self.settings.warmup)
        return self.settings.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))

    def losses(self, batch: BaseBatch, dense_only: bool) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted sum of all losses, and each by name. dense_only: those of the vision tower alone."""
        settings = self.settings
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if dense_only:
                output: BaseOutput | None = None
                visual = encode_images(self.model, batch.pixels)
            else:
                output = forward(
                    self.model,
                    batch,
                    self.head_ids,
                    settings.early_layers,
                    settings.look_layers,
                    settings.look_heads,
                    settings.cover_layers,
                    settings.cover_heads,
                    settings.mask_layers,
                    settings.locate_after,
                )
                visual = output.visual
            words = cast(nn.Embedding, self.model.get_input_embeddings())
            dense, accuracy = self.heads.dense(visual, batch, words)
            named = {"dense": dense.item(), **accuracy}
            total = settings.dense_weight * dense
            if output is not None:
                answer = F.cross_entropy(output.logits.float(), output.targets)
                locate = self.heads.locate(output.located, batch)
                point = self.heads.point(output.pointed, batch)
                mask = self.heads.mask(output.relevance, batch)
                total = (
                    total
                    + answer
                    + settings.look_weight * output.looked
                    + settings.cover_weight * output.covered
                    + settings.mask_weight * mask
                    + settings.locate_weight * (locate + point)
                )
                right = (output.logits.argmax(-1) == output.targets).float().mean().item()
                named |= {
                    "answer": answer.item(),
                    "look": output.looked.item(),
                    "cover": output.covered.item(),
                    "mask": mask.item(),
                    "locate": locate.item(),
                    "point": point.item(),
                    "token": right,
                }
        return total, named

    def train(self, every: int = 25, save_every: int = 250) -> None:
        """Run to the end of the schedule, writing log.jsonl and checkpoints."""
        data = BaseData(
            str(self.out / "tokenizer.json"),
            self.settings.seed + self.step,
            self.progress,
            self.settings.budget,
            self.curriculum,
        )
        self.progress.fill_(self.share_done())
        loader = torch.utils.data.DataLoader(
            data,
            batch_size=None,
            num_workers=self.settings.workers,
            prefetch_factor=4 if self.settings.workers else None,
        )
        (self.out / "settings.json").write_text(json.dumps(asdict(self.settings), indent=1) + "\n")
        sums: dict[str, list[float]] = {}
        clock = time.perf_counter()
        for batch in loader:
            done = self.share_done()
            self.progress.fill_(done)
            if done >= 1:
                break
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate(done) * group["share"]
            total, named = self.losses(batch, stage_at(done, self.curriculum).dense_only)
            self.optimizer.zero_grad(set_to_none=True)
            total.backward()
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
            self.optimizer.step()
            self.step += 1
            now = time.perf_counter()
            self.elapsed, clock = self.elapsed + now - clock, now
            for name, value in named.items():
                sums.setdefault(name, []).append(value)
            if self.step % every == 0:
                self.report(sums, done)
                sums = {}
            if self.step % save_every == 0:
                self.checkpoint()
        self.checkpoint()
        demo_model.save(self.model, self.tokenizer, self.out / "model")

    def report(self, sums: dict[str, list[float]], done: float) -> None:
        """Append the means of all values to log.jsonl, and print them with the time left."""
        means = {name: round(sum(values) / len(values), 4) for name, values in sums.items()}
        line = {"step": self.step, "minutes": round(self.elapsed / 60, 2), "done": round(done, 4), **means}
        with (self.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        left = self.elapsed / 60 * (1 / max(done, 1e-6) - 1)
        print(" ".join(f"{name} {value}" for name, value in line.items()), f"left {left:.0f} min", flush=True)
