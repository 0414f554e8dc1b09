"""Images and video in, overlays, sheets and plots out. Knows no model."""
