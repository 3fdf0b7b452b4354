"""Which known defect the failures of an implementation look like."""
