"""Names that dispatcher and workers must agree on: the broker's queues and the one message on them."""

CARRIER = "jobs.run"
"""Celery name of the only message on our queues; its arguments are FORMAT and lease tokens, won one by one."""
ERRBACKS = "jobs.errbacks"
"""Task of a job that calls the `link_error` of one that was lost for good."""
FORMAT = 1
MOST_LEASES = 100
"""Lease tokens of one message: each costs its worker a question, also when it is forged."""
ANY_QUEUE = "jobs.any"
"""Broker queue of workers started without -Q: they serve every queue, later ones too."""
UNTRACKED = "jobs.untracked"
"""Broker queue of tasks declared track=False."""
