"""Whether an error says that memory ran out, on an accelerator or on the CPU, where torch has no error of its own."""

import torch

_SAYS = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """For any error; torch raises a RuntimeError where the system refuses memory, numpy and Python a MemoryError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAYS)
