"""The whole zoo from its registry: `zoo build` and `zoo add`."""
