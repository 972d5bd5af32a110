"""The HTTP edge: routes, guards, streams. No rules."""
