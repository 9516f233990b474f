"""The built-in training methods, registered by entry points as a third party's would be.

A file is a method, or the variants of one; it imports from `fairbench` and from `parts`, never from another method.
"""
