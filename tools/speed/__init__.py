"""How networks are timed: contenders that take turns, each in its own process, and the set-up of the measurement.

Nothing here writes documents: that is in ``tools.tables``.
"""
