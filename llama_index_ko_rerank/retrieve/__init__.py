"""Finding candidates: two Korean lexical views, fusion, and the hybrid of any legs."""
