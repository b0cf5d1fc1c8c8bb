"""The datasets of a study: the registry, verified fetching, loading.

Nothing is imported here, so that `comvae.datasets.registry` stays cheap to import.
"""
