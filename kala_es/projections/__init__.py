"""Folds of the log: everything that anyone can read."""
