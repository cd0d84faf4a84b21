"""From a directory to a loaded, checked model."""
