"""Audits: what an attacker finds out about the training data, beside the epsilon that was claimed."""
