"""For maintainers: ``python -m tools.NAME`` builds bundles, measures networks and writes the tables of documents."""
