"""A trained bundle becomes one zip that runs where this package is not installed."""
