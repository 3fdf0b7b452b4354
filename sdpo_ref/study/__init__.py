"""The simulation study: experiments as data, run in parallel, kept in a store, shown in a report (spec/06, section F).

In the order in which data flows: ``experiments`` says what is to be run, ``task`` gives each run its identity,
``assembly`` builds the objects of one run, ``execute`` runs it, ``runner`` runs many, ``store`` keeps them,
``observations`` reads them back, ``report`` shows them.
"""
