"""Floor 3: connections to LeadSquared, and the only sockets of the package."""
