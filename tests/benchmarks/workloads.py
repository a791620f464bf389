"""What is measured, by the names under which it is asked for; the families are in the files beside this one."""

from __future__ import annotations

import classifiers
import curvature
import elements
import networks
import own_rules
import scalars
import sequences
from workload import Workload

WORKLOADS: dict[str, Workload] = {
    "chain": scalars.CHAIN,
    "chain100k": scalars.LONG_CHAIN,
    "polynomial": scalars.POLYNOMIAL,
    "polynomial100k": scalars.LONG_POLYNOMIAL,
    "moons": networks.MOONS,
    "logistic": classifiers.LOGISTIC,
    "logistic100k": classifiers.LARGE_LOGISTIC,
    "small": networks.SMALL,
    "large": classifiers.LARGE,
    "large64": classifiers.LARGE_DOUBLE,
    "rnn": sequences.TANH_UNITS,
    "lstm": sequences.LSTM,
    "cnn": classifiers.CONVOLUTIONS,
    "rosenbrock": curvature.GRADIENT,
    "hvp": curvature.PRODUCT,
    "hessian": curvature.HESSIAN,
    "jacobian": curvature.JACOBIAN,
    "reads": elements.READS,
    "reads1k": elements.MORE_READS,
    "neighbours": elements.NEIGHBOURS,
    "writes": elements.WRITES,
    "writes10k": elements.MORE_WRITES,
    "lorenz": scalars.LORENZ,
    "attention": sequences.ATTENTION,
    "penalty": networks.PENALTY,
    "elementwise": elements.BELLS,
    "where": elements.SLOPES,
    "where100": elements.FEW_SLOPES,
    "relu": elements.RAMPS,
    "relu100": elements.FEW_RAMPS,
    "primitive": own_rules.INVERSES,
    "primitive3": own_rules.AFFINES,
    "call": scalars.CALL,
}
