"""What the author of a method writes against; all of it is re-exported by `fairbench` itself.

`contract` says what a method is, `registry` finds them. Only `losses` and `class_means` import torch.
"""
