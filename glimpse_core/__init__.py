"""glimpse_core: GlimpsePrune (arXiv 2508.01548) as a library. Importing this package loads nothing heavy."""

__version__ = "0.1.0"
