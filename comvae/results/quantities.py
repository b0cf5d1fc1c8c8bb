"""Placeholder until the vocabulary is merged."""

QUANTITIES: dict = {}
