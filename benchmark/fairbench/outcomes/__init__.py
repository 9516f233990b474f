"""What lies on disk: outcome files, receipts, numbers of the literature, work folders; and what the verdicts say.

Nothing here imports torch.
"""
