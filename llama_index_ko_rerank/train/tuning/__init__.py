"""Fitted weights of a search: its retrievers, and the ranker above them."""
