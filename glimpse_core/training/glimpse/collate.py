"""Images with questions, run through the frozen base, optionally in worker processes.

Workers draw or read the image, process it, and run the frozen base on it (`freeze`), so that on a CPU the base and the
backward pass work side by side. Everything is a function of the index: the workers change neither order nor result.
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
from glimpse_core.glimpse.boxes import box_mask, graded_mask
from glimpse_core.glimpse.model import GlimpseModel, LoadedModel
from glimpse_core.models import catalog
from glimpse_core.training.glimpse.frozen import Asked, Frozen, freeze
from glimpse_core.training.process_group import ALONE, ProcessGroup

AHEAD = 4  # images that are read ahead in this process


def ask(model: LoadedModel, image: ImageExamples, ending: str | None = None) -> Asked:
    """Prepare all questions about one image, which is processed once.

    Args:
        model: the base model with its processor.
        image: the image and its questions, at least one.
        ending: what follows an answer and is supervised with it. None: as published for this family of models.

    Raises:
        GlimpseError: there is no question, or the model has no processor.
    """
    processor, backbone = model.require_processor(), model.backbone
    if not image.examples:
        raise GlimpseError("The image has no question. Expected at least one: leave the image out.")
    first = processor.prompt(backbone, [image.image], image.examples[0].question)
    (grid,) = first.grids
    device = first.input_ids.device

    def ids(question: str) -> Tensor:
        short = processor.token_ids(1, question, None)
        return torch.tensor(expanded(short, backbone.image_token, [grid.tokens]))

    closing = processor.special_ids(processor.ending if ending is None else ending)
    return Asked(
        prompt=first,
        questions=tuple(ids(example.question).to(device) for example in image.examples),
        answers=tuple(
            torch.tensor(processor.plain_ids(example.answer) + closing, device=device) for example in image.examples
        ),
        targets=tuple(box_mask(example.boxes, grid).to(device) for example in image.examples),
        grades=tuple(graded_mask(example.boxes, grid).to(device) for example in image.examples),
    )


@dataclass(frozen=True)
class FrozenImages(Dataset[Frozen]):
    """Images of a source after the frozen base, in the base's own dtype: the input of the trained modules.

    Attributes:
        model: the base model.
        source: images with questions, by index.
        vision_layers: states of the vision tower that the VIP reads.
        ending: as in `ask`.
    """

    model: LoadedModel
    source: Source
    vision_layers: tuple[int, ...]
    ending: str | None = None

    def __getitem__(self, index: int) -> Frozen:
        return self.frozen(self.asked(index))

    def asked(self, index: int) -> Asked:
        """Read image `index` and prepare its questions."""
        return ask(self.model, self.source.read(index), self.ending)

    def frozen(self, asked: Asked) -> Frozen:
        """Run the frozen base on an image and its questions."""
        return freeze(self.model.backbone, asked, self.vision_layers)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a worker load the base model anew: transformers' hooks for hidden states do not survive pickling."""
        model = self.model
        config = model.config if isinstance(model, GlimpseModel) else None
        options: dict[str, Any] = {
            "glimpse": config,
            "dtype": model.dtype,
            "device": str(model.device),
            "attn": model.attn,
        }
        options |= {"adapter": model.adapter, "merge": model.merged}
        return _restored, (model.name, options, self.source, self.vision_layers, self.ending)

    def stream(self, start: int, stop: int, workers: int = 0, process_group: ProcessGroup = ALONE) -> Iterator[Frozen]:
        """Yield images start..stop-1 in order.

        Args:
            start, stop: indices of the source.
            workers: processes that run the base. 0: it runs in this process, and a thread reads ahead.
            process_group: only the share of this process is yielded.
        """
        if not workers:
            return self._stream_here(process_group.mine(start, stop))
        # Not forked: a fork inherits the locks of threads that it does not have.
        settings: dict[str, Any] = {"prefetch_factor": 2, "multiprocessing_context": "spawn"}
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


def _restored(name: str, options: dict[str, Any], *rest: Any) -> FrozenImages:
    return FrozenImages(catalog.load(name, **options), *rest)
