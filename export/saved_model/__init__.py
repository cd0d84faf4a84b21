"""From an encoder to a SavedModel directory with the same bytes every time."""
