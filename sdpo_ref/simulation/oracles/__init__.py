"""Simulated evaluators: five regimes of feedback, and wrappers that bias or corrupt them (spec/06-simulation, B)."""

from sdpo_ref.simulation.oracles.biases import (
    CentralTendency,
    Halo,
    Position,
    Positivity,
    SelfPreference,
    Severity,
    Verbosity,
)
from sdpo_ref.simulation.oracles.build import build_oracle, dealt
from sdpo_ref.simulation.oracles.draws import Draws
from sdpo_ref.simulation.oracles.evidence import Evidence
from sdpo_ref.simulation.oracles.information import Informativeness, feedback_information
from sdpo_ref.simulation.oracles.regimes import BinaryOracle, CritiqueOracle, OrdinalOracle, RubricOracle, ScalarOracle
from sdpo_ref.simulation.oracles.staged import Bias, Lens, StagedOracle
from sdpo_ref.simulation.oracles.wrappers import Heterogeneous, Misleading, Missing, NoiseLevel, Record, Recording

__all__ = [
    "Bias",
    "BinaryOracle",
    "CentralTendency",
    "CritiqueOracle",
    "Draws",
    "Evidence",
    "Halo",
    "Heterogeneous",
    "Informativeness",
    "Lens",
    "Misleading",
    "Missing",
    "NoiseLevel",
    "OrdinalOracle",
    "Position",
    "Positivity",
    "Record",
    "Recording",
    "RubricOracle",
    "ScalarOracle",
    "SelfPreference",
    "Severity",
    "StagedOracle",
    "Verbosity",
    "build_oracle",
    "dealt",
    "feedback_information",
]
