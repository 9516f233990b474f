"""What several methods share, one concept each; no part knows a method.

A hyper-parameter of several methods is said once, `GATE = hyperparameter(...)`, and taken up under the same name in
each of them, `gate: float = GATE`.
"""
