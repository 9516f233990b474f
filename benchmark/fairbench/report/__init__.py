"""A board for people: `site` is the page, `paper` what goes into one, `terminal` what commands print.

`headings` and `phrases` are the words that all three share. Nothing here imports torch.
"""
