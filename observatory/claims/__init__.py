"""The book's statements put to the test: each is data, and a predicate over a run's analysis.

``statements`` is the table; ``predicates_*`` are the predicates, by what they are about;
``looking`` is what they look at a run with; ``judging`` makes verdicts of them. All of it is a
function of what was observed: nothing here runs, waits or reads.
"""
