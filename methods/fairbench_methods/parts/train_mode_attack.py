"""Attacking in train mode, an option of released codes, needs a network for which the mode is more than a name.

Batch norm then normalises by the attacked batch. A network without it would train under another key as it does in eval
mode; one that drops units or paths at random would be another network at every step of the attack.
"""

from torch import nn

from fairbench import batch_norms, drop_outs


def refuses_train_mode(network: nn.Module, mode: str) -> str:
    """Why a network cannot be attacked in this mode, as a sentence; "" if it can.

    Args:
        network: to be trained.
        mode: `eval` or `train`, the value of `attack_bn`.
    """
    if mode == "eval":
        return ""
    if not batch_norms(network):
        return (
            "attack_bn='train' attacks with the batch norm of the attacked batch, and it has none; leave it at 'eval'."
        )
    if dropping := drop_outs(network):
        return (
            f"attack_bn='train' would drop units at random at every step of the attack, in {dropping[0]!r}; leave it "
            "at 'eval', or build the network without."
        )
    return ""
