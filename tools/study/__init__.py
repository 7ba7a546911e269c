"""Trainings and prunings compared: the table of runs and how they are done, their records, and what these become in
tables and pictures."""
