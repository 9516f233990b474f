"""Datasets, splits and batches: from a suite's `DatasetSource` to tensors on the device.

`sources` and `digest` import no torch, so that names and keys are quick; `loading` is the way in for everything else.
"""
