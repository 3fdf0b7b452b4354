"""The study's claims as pre-registered records, and the procedure that decides them (spec/07-claims).

Read in this order: ``record`` (what a claim is), ``quantity`` (what is compared, seed by seed), ``procedure`` (looks
and outcomes), ``controls``, ``findings`` (what was decided for the bundled reference).
"""
