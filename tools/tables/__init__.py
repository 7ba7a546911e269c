"""What is compared, the record of what it costs, and what documents show of it: tables, pictures, marks in Markdown.

Nothing here measures: that is in ``tools.speed``.
"""
