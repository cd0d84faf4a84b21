"""Measurements. Not part of the tests: nothing timed is asserted."""
