"""What the checks in conformance/ are written with: inputs, problems, comparisons, and the subject under test."""
