"""The cloud: one adapter per service."""
