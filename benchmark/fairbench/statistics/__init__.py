"""How sure a board can be. Pure functions on verdicts; nothing here trains, reads files or imports torch.

    verdicts = Verdicts(labels=labels, classes=10, correct={"trades": trades, "pgd-at": pgd_at})
    standings(verdicts, seed=0)["worst-20"].groups

Two sources of noise are kept apart and shown together: the images of the test set, which all methods share, and the
seeds of training, which they do not. What is claimed of intervals and separations is tried by simulation in
`tests/statistics/test_simulation.py`.
"""

from fairbench.statistics.bootstrap import Resampled as Resampled
from fairbench.statistics.bootstrap import bootstrap as bootstrap
from fairbench.statistics.comparison import attack_gap as attack_gap
from fairbench.statistics.comparison import boundary_error as boundary_error
from fairbench.statistics.comparison import class_gain as class_gain
from fairbench.statistics.comparison import largest as largest
from fairbench.statistics.confusion import confusion as confusion
from fairbench.statistics.confusion import error_shares as error_shares
from fairbench.statistics.confusion import spectral_norm as spectral_norm
from fairbench.statistics.envelope import envelope as envelope
from fairbench.statistics.exact_values import exact_value as exact_value
from fairbench.statistics.holm import holm as holm
from fairbench.statistics.holm import holm_pairs as holm_pairs
from fairbench.statistics.keys import KEYS as KEYS
from fairbench.statistics.keys import distinct_keys as distinct_keys
from fairbench.statistics.mcnemar import mcnemar as mcnemar
from fairbench.statistics.paired import Paired as Paired
from fairbench.statistics.paired import paired as paired
from fairbench.statistics.power import images_needed as images_needed
from fairbench.statistics.power import mcnemar_power as mcnemar_power
from fairbench.statistics.power import method_power as method_power
from fairbench.statistics.power import seeds_needed as seeds_needed
from fairbench.statistics.rank_intervals import best_probability as best_probability
from fairbench.statistics.rank_intervals import rank_intervals as rank_intervals
from fairbench.statistics.row_interval import row_intervals as row_intervals
from fairbench.statistics.seed_variance import class_spread as class_spread
from fairbench.statistics.seed_variance import moderated as moderated
from fairbench.statistics.seeds import t_interval as t_interval
from fairbench.statistics.separation import AgainstOne as AgainstOne
from fairbench.statistics.separation import Pairs as Pairs
from fairbench.statistics.separation import against as against
from fairbench.statistics.separation import pairs as pairs
from fairbench.statistics.separation import separated as separated
from fairbench.statistics.standings import Standings as Standings
from fairbench.statistics.standings import standings as standings
from fairbench.statistics.tie_groups import tie_groups as tie_groups
from fairbench.statistics.verdicts import Verdicts as Verdicts
from fairbench.statistics.worst_class import candidate_set as candidate_set
from fairbench.statistics.worst_class import worst_class_counts as worst_class_counts
