"""Damaged and hostile files of every format, read in child processes. `python -m scripts.fuzz --help`."""
