"""Metrics: fed step by step, computed at any time; each number with its protocol and interval."""
