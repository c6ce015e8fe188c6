"""Floor 3: tasks that wait for verdicts."""
