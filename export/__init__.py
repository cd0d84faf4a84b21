"""The builder: from a checkpoint on disk to a verified archive."""
