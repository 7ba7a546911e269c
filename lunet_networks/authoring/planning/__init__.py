"""A dataset becomes a bundle: cases are paired and measured, settings decided, templates filled."""
