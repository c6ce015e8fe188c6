"""Layer 4: tasks that bring the rows of a warehouse or a file to LeadSquared."""
