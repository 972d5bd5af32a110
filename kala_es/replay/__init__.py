"""What reads a log without owning it: a moment of the past, what changed between two, what would come."""
