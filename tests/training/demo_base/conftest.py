"""What the tests of the demo base's training share: its tokenizer, and a small random model."""

import pytest
import torch
from tokenizers import Tokenizer

from glimpse_core.training.demo_base import model as demo_model
from glimpse_core.training.demo_base import trainer as demo_trainer
from glimpse_core.training.demo_base.packing import Packer
from glimpse_core.training.demo_base.text import train_tokenizer
from tests.support.demo_base import SHAPE


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_tokenizer()


@pytest.fixture(autouse=True)
def trained_once(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every new run gets the tokenizer that it would train: that takes seconds and gives the same one."""
    monkeypatch.setattr(demo_trainer, "train_tokenizer", lambda: tokenizer)


@pytest.fixture(scope="session")
def packer(tokenizer: Tokenizer) -> Packer:
    return Packer(tokenizer)


@pytest.fixture(scope="session")
def model(tokenizer: Tokenizer):
    """A small random model whose attention is far from uniform and whose norms and biases do something."""
    model = demo_model.build(tokenizer, SHAPE, 4, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()
