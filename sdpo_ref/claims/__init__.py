"""The study's claims as pre-registered records, and the procedure that decides them (spec/07-claims).

Read in this order: ``schema`` (what a claim is), ``records`` (those of the specification), ``comparison`` (what is
compared, seed by seed), ``runs``, ``procedure`` (looks and outcomes), ``controls``, ``verdict``, ``findings`` (what was
decided for the bundled reference), ``rates`` (how often the procedure is right).
"""
