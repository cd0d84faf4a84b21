"""The registry: its rows, its one written form, its checks and its tables."""
