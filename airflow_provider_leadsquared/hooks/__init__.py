"""Layer 2c: the connection to LeadSquared, and the only sockets of the package."""
