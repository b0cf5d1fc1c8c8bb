"""The dashboard: a view of the files under `results/`, which it never changes."""
