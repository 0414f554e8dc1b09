"""From what a page says to where every mark of it stands."""
