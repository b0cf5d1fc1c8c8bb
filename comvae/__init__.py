"""The Compound Variational Auto-Encoder study (see README.md)."""
