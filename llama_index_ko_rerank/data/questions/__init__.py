"""The rules by which `synthesize` turns a passage into questions: particles, predicates, clauses, blanks, phrases."""
