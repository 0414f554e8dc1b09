"""From a prompt to answers: sessions, decoding, batches, and the bridge to the stock `generate`."""
