"""Korean text: one normal form, sentences, and the two lexical views."""
