"""Commands that run a trained or untrained bundle: fronts of ``python -m monai.bundle run``, which check the settings
first and print what they run."""
