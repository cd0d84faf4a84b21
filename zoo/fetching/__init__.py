"""From a handle (name, URL, archive, bundle) to a directory of the cache."""
