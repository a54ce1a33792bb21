"""sqlite room."""
