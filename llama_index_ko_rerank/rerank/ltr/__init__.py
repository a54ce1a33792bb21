"""ltr room."""
