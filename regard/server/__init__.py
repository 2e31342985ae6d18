"""Finished runs over HTTP: `regard serve`. Needs the extra `regard[serve]`."""
