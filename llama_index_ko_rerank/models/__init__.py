"""Weights that ship in the wheel."""
