"""Files, text for people and JSON from outside: nothing in here knows what a model is."""
