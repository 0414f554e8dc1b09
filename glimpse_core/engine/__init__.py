"""The decoder, stopped between layers and continued: Prefix verbs and readable attention. Knows no image."""
