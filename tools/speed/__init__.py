"""Networks timed against each other, and the table and chart of what came out."""
