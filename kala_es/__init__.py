"""kala_es: a job scheduler whose only truth is an append-only event log."""

__version__ = "0.1.0"
