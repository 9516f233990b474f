"""Executing runs: the small interface of an executor, and the local processes behind it.

`run-all` hands tasks to an executor and listens to its events; a cluster would be another executor. Only `worker`
imports torch, and only inside a worker process.
"""
