"""Training rows, their splits and their hard negatives."""
