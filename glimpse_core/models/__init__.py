"""Loading: catalog, checkpoints and their settings, devices, and the doctor."""
