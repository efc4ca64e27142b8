"""The contracts a method fulfils. Every class here is abstract or final; nothing does nothing by default.

Shapes: ``N`` tokens, ``D`` width of the activations, ``F`` latents. Tensors are float32 on one device.
"""

from harness.api.dictionary import (
    Dictionary,
)
from harness.api.environment import (
    Courses,
    Environment,
)
from harness.api.error_probe import (
    CONFIDENCE,
    Answers,
    ErrorProbe,
    Features,
    Labels,
)
from harness.api.explainer import (
    Explainer,
    Named,
    Predictions,
    Sentence,
)
from harness.api.fitting import (
    Activations,
    ArrayActivations,
    Method,
    Network,
    Progress,
    Setting,
    Train,
    Trained,
    Truth,
    silent,
)
from harness.api.next_token import (
    NextToken,
    OverCodes,
    Read,
    Targets,
    Unembedding,
)
from harness.api.rewarded import (
    ARMS,
    Arm,
    Rewarded,
    Taught,
)
from harness.api.steerer import (
    Behaviour,
    Bias,
    Change,
    Intervention,
    Steerer,
)

__all__ = [
    "ARMS",
    "CONFIDENCE",
    "Activations",
    "Answers",
    "Arm",
    "ArrayActivations",
    "Behaviour",
    "Bias",
    "Change",
    "Courses",
    "Dictionary",
    "Environment",
    "ErrorProbe",
    "Explainer",
    "Features",
    "Intervention",
    "Labels",
    "Method",
    "Named",
    "Network",
    "NextToken",
    "OverCodes",
    "Predictions",
    "Progress",
    "Read",
    "Rewarded",
    "Sentence",
    "Setting",
    "Steerer",
    "Targets",
    "Taught",
    "Train",
    "Trained",
    "Truth",
    "Unembedding",
    "silent",
]
