"""The demo model's base, trained from nothing on the demo world."""
