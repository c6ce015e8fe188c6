"""Floor 3: tasks that send leads."""
