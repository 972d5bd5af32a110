"""Foreign APIs' vocabularies, one pure module each."""
