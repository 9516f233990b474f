"""What commands print: progress, boards and duels, coloured where somebody watches."""
