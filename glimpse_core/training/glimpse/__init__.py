"""Glimpse modules, trained on a frozen base."""
