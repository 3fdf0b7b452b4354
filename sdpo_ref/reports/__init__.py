"""Reports for other programs and other people, each a function of one JSON document (spec/decisions/0025)."""
