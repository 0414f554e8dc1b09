"""For all tests: one thread. The models are so small that sharing their work takes longer than doing it.

Property tests draw the same examples in every run, and their time does not count: a shared machine is slow at times.
"""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("suite", derandomize=True, deadline=None)
settings.load_profile("suite")
