"""Synthetic queries: questions made from passages by rules or by an LLM."""
