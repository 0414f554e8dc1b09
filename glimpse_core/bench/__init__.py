"""Timing: plain generation, our path and every pruning method, paired within one run."""
