"""AutoAttack `standard` (Croce and Hein, ICML 2020), attack by attack, next to the papers' pseudocode."""
