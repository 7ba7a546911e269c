"""Datasets to try bundles with, made or fetched, and the demo."""
