"""What reads a log or an archive without owning it: beside the server that has it open, or with no server at all."""
