"""Golden vectors: questions (``cases``), answers of a second derivation (``derivation``), and files (``store``)."""
