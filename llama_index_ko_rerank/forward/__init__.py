"""forward room."""
