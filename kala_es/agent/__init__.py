"""What carries out attempts, in a process of its own that outlives the node, and its end of the link."""
