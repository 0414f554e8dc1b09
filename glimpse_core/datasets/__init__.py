"""Images with questions for training and evaluation: JSONL files and the demo world."""
