"""Computing what a board needs: the plan, the runner, its tasks, workers, and the executors that start them.

`run-all` hands tasks to an executor and listens to its events; a cluster would be another executor. Only `worker`
imports torch, and only inside a worker process.
"""
