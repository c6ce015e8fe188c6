"""Layer 2b: from the rows of a source to leads, and which of them have changed."""
