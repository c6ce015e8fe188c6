"""Layer 4: tasks that send leads."""
