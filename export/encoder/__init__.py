"""The encoder's arithmetic."""
