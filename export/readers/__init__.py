"""One file a checkpoint format; each offers names, shapes and one variable at a time."""
