"""A LeadSquared to run on one's own machine: an independent reading of its documents, sharing no code with the client."""
