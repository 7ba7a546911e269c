"""For maintainers: ``python -m tools.NAME`` builds bundles, measures networks and writes the tables of documents.

Commands lie here. What they share lies in rooms: ``tables`` (what is compared, the record, tables and pictures),
``speed`` (how networks are timed), ``study`` (trainings and prunings).
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the repository
