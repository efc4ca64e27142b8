"""A language model's architecture with weights drawn anew: the null of everything said about a trained one."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from harness.lm.fingerprints import REINIT


def drawn_anew(config: Any, **options: Any) -> PreTrainedModel:
    """Return the model of a transformers config as its own code initialises it, in float32 on the CPU.

    Every call gives the same weights, and the global random state is left as it was. ``options`` go to
    ``AutoModelForCausalLM.from_config``.
    """
    with torch.random.fork_rng(devices=[]):  # transformers initialises from the global generator
        torch.manual_seed(REINIT)
        network: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32, **options)
    return network.eval()
