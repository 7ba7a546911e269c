"""A trained bundle becomes one zip that runs without this package."""
