"""Evaluation: held-out questions in, scores with controls out; tables and plots of several glimpses."""
