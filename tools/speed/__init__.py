"""How networks are timed: contenders that take turns, each in a process of its own, and the set-up of that.

Nothing here writes documents: that is in ``tools.tables``.
"""
