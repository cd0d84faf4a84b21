"""Signatures: whose keys are trusted, and what they have signed."""
