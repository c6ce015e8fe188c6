"""Floor 3: tasks that bring leads from a warehouse."""
