"""The simulation study: experiments as data, run in parallel, kept in a store, shown in a report (spec/06, section F).

In the order in which data flows: ``experiments`` says what is to be run, ``task`` gives each run its identity,
``simulators`` says which go together and how they are done (``execute`` one by one, ``execute_batch`` many at once),
``runner`` does them in worker processes, ``store`` keeps them, ``observations`` reads them back, ``report`` shows them.
"""
