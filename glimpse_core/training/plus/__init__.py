"""GlimpsePrune+: a LoRA adapter, trained by rewards for answers that are sampled from pruned prompts."""
