"""What is asked: suites and runs, the names of attacks, their settings, and the thresholds of judgement.

Everything else may import these; they import nothing of fairbench but what lies beside its folders, and never torch.
"""
