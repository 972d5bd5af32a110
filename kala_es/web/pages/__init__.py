"""The web UI: pages as HTML, each handler a row of the table in routes.py."""
