"""Computing what a board needs: the plan, the runner, its tasks, workers, and the executors that start them.

`run-all` hands tasks to an executor, on this machine or on a cluster, and listens to its events. Only `worker`
imports torch, and only inside a worker process.
"""
