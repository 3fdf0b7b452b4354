"""The simulation study: experiments as data, run in parallel, kept in a store, shown in a report (spec/06, section F).

In the order in which data flows: ``experiments`` lists what is run, ``experiment`` gives each task its identity,
``simulators`` groups tasks and executes them (``execute`` one by one, ``execute_batch`` many at once), ``runner`` does
it in worker processes, ``store`` keeps them, ``observations`` reads them back, ``report`` shows them.
"""
