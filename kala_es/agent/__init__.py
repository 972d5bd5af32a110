"""Actors that carry out attempts, and the link to the node."""
