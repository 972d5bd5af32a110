"""Actors that own jobs and the log."""
