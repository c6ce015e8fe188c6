"""Layer 4: tasks that wait for verdicts."""
