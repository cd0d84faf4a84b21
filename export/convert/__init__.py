"""From an archive to the formats of other runtimes: `zoo convert`."""
