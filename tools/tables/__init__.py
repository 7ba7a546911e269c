"""Figures of networks beside each other, and the tables of README.md and docs that are made of them."""
