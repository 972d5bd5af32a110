"""Adapters of the fold store port."""
