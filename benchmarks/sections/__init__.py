"""The parts of a run, each a function of a Bench: what is asked of whom, and which records come of it."""
