"""Layer 2b: where a task writes down what it sent and what became of it."""
