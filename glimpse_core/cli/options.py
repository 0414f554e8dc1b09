"""Options that several commands have in common."""

from __future__ import annotations

import argparse

# As `models.devices` and `engine.attention` have them, which import torch.
DTYPES = ("auto", "float32", "float16", "bfloat16")
ATTENTION = ("auto", "sdpa", "eager", "flash_attention_2")


def add_adapter(group: argparse._ActionsContainer) -> None:
    """Add `--adapter` and `--no-merge`, which `models.catalog.load` takes as adapter and merge.

    Args:
        group: a parser, or a group of its options.
    """
    group.add_argument("--adapter", metavar="PLACE", help="folder or Hub name of a LoRA adapter (GlimpsePrune+); "
                       "default is the catalog's")  # fmt: skip
    group.add_argument("--no-merge", action="store_true", help="leave the adapter apart in the layers instead of "
                       "adding it to the weights")  # fmt: skip


def add_glimpse(group: argparse._ActionsContainer) -> None:
    """Add `--glimpse` and `--keep-layer`, which `models.catalog.load` takes.

    Args:
        group: a parser, or a group of its options.
    """
    group.add_argument("--glimpse", help="folder or Hub name of glimpse modules, or none: tokens are then scored by "
                       "attention, without training; default is the catalog's")  # fmt: skip
    add_keep_layer(group)


def add_keep_layer(group: argparse._ActionsContainer) -> None:
    """Add `--keep-layer`, which `models.catalog.load` takes.

    Args:
        group: a parser, or a group of its options.
    """
    group.add_argument("--keep-layer", type=int, metavar="K", help="without glimpse modules: decoder layer, from 0, "
                       "whose attention scores the tokens and after which they are dropped (default: at two thirds of "
                       "the decoder, as published)")  # fmt: skip


def add_placement(group: argparse._ActionsContainer) -> None:
    """Add `--device`, `--dtype` and `--attn`, which `models.catalog.load` takes.

    Args:
        group: a parser, or a group of its options.
    """
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default auto)")
    group.add_argument("--dtype", default="auto", choices=DTYPES, help="default auto: float32 on a CPU, else 16 bits")
    group.add_argument("--attn", default="auto", choices=ATTENTION, help="attention function (default auto)")
