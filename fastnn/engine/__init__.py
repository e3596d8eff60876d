"""A built network and how it runs: ops, the arena, an epoch in one call."""
