"""The heads beside an encoder."""
