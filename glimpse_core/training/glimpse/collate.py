"""From a picture with its questions to what the frozen base makes of them, in worker processes if wanted.

Workers draw or read the picture, process it, and run the frozen base on it (`freeze`), so that on a CPU the base and
the backward pass work side by side. Everything is a function of the index: the workers change neither order nor result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from glimpse_core.backbones.processors.base import expanded
from glimpse_core.datasets.examples import ImageExamples, Source
from glimpse_core.errors import GlimpseError
from glimpse_core.glimpse.boxes import box_mask
from glimpse_core.glimpse.model import GlimpseModel, LoadedModel
from glimpse_core.models import catalog
from glimpse_core.training.glimpse.forward import Asked, Frozen, freeze
from glimpse_core.training.process_group import ALONE, ProcessGroup

AHEAD = 4  # pictures that are read ahead in this process


def ask(model: LoadedModel, picture: ImageExamples, ending: str | None = None) -> Asked:
    """Token ids, answers and target masks of all questions about one picture. The picture is processed once.

    ending: what stands behind an answer and is supervised with it; None: as published for this family of models.
    """
    processor, backbone = model.require_processor(), model.backbone
    if not picture.examples:
        raise GlimpseError("a picture without a question was given; wanted was at least one")
    first = processor.prompt(backbone, [picture.image], picture.examples[0].question)
    (grid,) = first.grids
    device = first.input_ids.device

    def ids(question: str) -> Tensor:
        short = processor.token_ids(1, question, None)
        return torch.tensor(expanded(short, backbone.image_token, [grid.tokens]))

    closing = processor.special_ids(processor.ending if ending is None else ending)
    return Asked(
        prompt=first,
        questions=tuple(ids(example.question).to(device) for example in picture.examples),
        answers=tuple(
            torch.tensor(processor.plain_ids(example.answer) + closing, device=device) for example in picture.examples
        ),
        targets=tuple(box_mask(example.boxes, grid).to(device) for example in picture.examples),
    )


@dataclass(frozen=True)
class FrozenImages(Dataset):
    """Picture `index` of the source, frozen in the base's own dtype: what the trained modules will see in use."""

    model: LoadedModel
    source: Source
    vision_layers: tuple[int, ...]
    ending: str | None = None

    def __getitem__(self, index: int) -> Frozen:
        return self.frozen(self.asked(index))

    def asked(self, index: int) -> Asked:
        return ask(self.model, self.source.read(index), self.ending)

    def frozen(self, asked: Asked) -> Frozen:
        return freeze(self.model.backbone, asked, self.vision_layers)

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker loads the base model anew: transformers' hooks for hidden states do not survive pickling."""
        model = self.model
        config = model.config if isinstance(model, GlimpseModel) else None
        place = {"glimpse": config, "dtype": model.dtype, "device": str(model.device), "attn": model.attn}
        return _restored, (model.name, place, self.source, self.vision_layers, self.ending)

    def stream(self, start: int, stop: int, workers: int = 0, process_group: ProcessGroup = ALONE) -> Iterator[Frozen]:
        """Pictures start..stop-1 in order, `workers` processes ahead of the caller; of a group, this process' share.

        Without workers the base runs in this process, and a thread reads the next pictures meanwhile.
        """
        if not workers:
            return self._stream_here(process_group.mine(start, stop))
        # Not forked: a fork inherits the locks of threads that it does not have.
        settings = {"prefetch_factor": 2, "multiprocessing_context": "spawn"}
        return iter(
            DataLoader(self, batch_size=None, sampler=process_group.mine(start, stop), num_workers=workers, **settings)
        )

    def _stream_here(self, indices: Iterable[int]) -> Iterator[Frozen]:
        waiting: deque[Future[Asked]] = deque()
        with ThreadPoolExecutor(1) as reader:
            for index in indices:
                waiting.append(reader.submit(self.asked, index))
                if len(waiting) > AHEAD:
                    yield self.frozen(waiting.popleft().result())
            while waiting:
                yield self.frozen(waiting.popleft().result())


def _restored(name: str, place: dict[str, Any], *rest: Any) -> FrozenImages:
    return FrozenImages(catalog.load(name, **place), *rest)
