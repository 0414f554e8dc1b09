"""For all tests: one thread. The models are so small that sharing their work takes longer than doing it."""

import torch

torch.set_num_threads(1)
