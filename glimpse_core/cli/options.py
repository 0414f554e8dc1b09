"""Options that several commands have in common."""

from __future__ import annotations

import argparse

# As `models.devices` and `engine.attention` have them, which import torch.
DTYPES = ("auto", "float32", "float16", "bfloat16")
ATTENTION = ("auto", "sdpa", "eager", "flash_attention_2")


def add_placement(group: argparse._ActionsContainer) -> None:
    """Add `--device`, `--dtype` and `--attn`, which `models.catalog.load` takes.

    Args:
        group: a parser, or a group of its options.
    """
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default auto)")
    group.add_argument("--dtype", default="auto", choices=DTYPES, help="default auto: float32 on a CPU, else 16 bits")
    group.add_argument("--attn", default="auto", choices=ATTENTION, help="attention function (default auto)")
