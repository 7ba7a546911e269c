"""The repository that the tools work on."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
