"""A pass on a Dask cluster (extra ``danewatch[dask]``): many machines look, one conducts.

    look up (by domain) --> wishes --> probe (by network) --> judge (by domain) --> publish

``values``       what travels between the machines: plain values, all of them bounded
``wishes``       which probes the evidence asks for, and how they are grouped
``staging``      evidence on its way from one round to the next, in the place of the results
``tasks``        what a worker does; each task may be repeated
``bookkeeping``  what all shards have in common: states, and which rows stand already
``cluster``      connecting, mutual TLS, versions, a bounded number of tasks at a time
``conductor``    the rounds of one pass

Nothing here is imported unless ``danewatch scan --engine dask`` is given. How a look is made is not
known here either: tasks carry an ``Equipment`` that the composition root has filled in.
"""
