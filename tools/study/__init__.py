"""Trainings and prunings compared: what their results become in tables and pictures."""
