"""ray room."""
