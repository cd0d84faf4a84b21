"""Who signed a registry, and whether it is the latest one."""
