"""The base model: backend, loading, CPU kernels, sentence embedder, log-probabilities."""
