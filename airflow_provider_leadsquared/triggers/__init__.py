"""Layer 4b: what waits in a triggerer for a deferred task."""
