"""Putting the best candidate first: a cross-encoder, and a ranker of cheap features."""
