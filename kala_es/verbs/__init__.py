"""The verbs of the command line that are more than a call: a module each, with `add(verbs)`."""
