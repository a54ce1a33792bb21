"""cross_encoder room."""
