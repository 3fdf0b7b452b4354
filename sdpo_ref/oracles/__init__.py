"""Simulated evaluators: four regimes of feedback, and wrappers that bias or corrupt them (spec/06-simulation, B)."""

from sdpo_ref.oracles.build import build_oracle, dealt
from sdpo_ref.oracles.critique import CritiqueOracle
from sdpo_ref.oracles.draws import Draws
from sdpo_ref.oracles.evidence import Evidence
from sdpo_ref.oracles.heterogeneous import Heterogeneous
from sdpo_ref.oracles.information import Informativeness, feedback_information
from sdpo_ref.oracles.misleading import Misleading
from sdpo_ref.oracles.missing import Missing
from sdpo_ref.oracles.noise_level import NoiseLevel
from sdpo_ref.oracles.ordinal import OrdinalOracle
from sdpo_ref.oracles.perception_biases import Position, SelfPreference, Verbosity
from sdpo_ref.oracles.rating_biases import CentralTendency, Halo, Positivity, Severity
from sdpo_ref.oracles.recording import Record, Recording
from sdpo_ref.oracles.rubric import RubricOracle
from sdpo_ref.oracles.scalar import ScalarOracle
from sdpo_ref.oracles.staged import Bias, Lens, StagedOracle

__all__ = [
    "Bias",
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
