"""The book's experiments with models fitted to one's own data, done again and set beside what it publishes."""
