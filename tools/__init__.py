"""For maintainers: ``python -m tools.NAME`` builds bundles, measures networks and writes the tables of documents.

This folder holds the commands. Shared code is in: ``tables`` (what is compared, the record, tables and pictures),
``speed`` (how networks are timed), ``study`` (trainings and prunings).
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the repository
