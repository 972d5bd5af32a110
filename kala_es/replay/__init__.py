"""What reads a log or an archive without owning it: a moment of the past, what changed, what would come, whether it is
whole; beside the server that has it open, or with no server at all."""
