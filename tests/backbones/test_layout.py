"""Where visual tokens are, and what is left of that when some are dropped."""

from __future__ import annotations

import torch

from glimpse_core.backbones.layout import Layout, part


def test_a_part_of_a_layout() -> None:
    """Groups keep their order and their members; what lost all its tokens is gone."""
    cells = torch.cartesian_prod(torch.arange(2), torch.arange(3))
    layout = Layout(torch.cat([cells, cells]), (2, 4, 6), torch.tensor([4, 0, 1, 2, 3, 5, 11, 10, 9, 8, 7, 6]), (6, 6))
    found = part(layout, torch.tensor([1, 4, 5, 8, 9]))
    assert found.lengths == (1, 2, 2) and found.images == (3, 2)
    assert found.order.tolist() == [1, 0, 2, 4, 3]  # 4 | 1, 5 | 9, 8
    assert found.cells.tolist() == [[0, 1], [1, 1], [1, 2], [0, 2], [1, 0]]
    assert part(layout, torch.tensor([2, 3])).lengths == (2,)
