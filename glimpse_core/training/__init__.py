"""Training: losses, targets, data and the supervised glimpse trainer. Nothing here is needed to answer a question."""
