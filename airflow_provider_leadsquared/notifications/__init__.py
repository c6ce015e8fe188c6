"""Alerts about deliveries."""
