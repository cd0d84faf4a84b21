"""From the names and shapes of a checkpoint to the variables of an archive."""
