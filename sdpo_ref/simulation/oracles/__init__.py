"""Simulated evaluators: four regimes of feedback, and wrappers that bias or corrupt them (spec/06-simulation, B)."""

from sdpo_ref.simulation.oracles.build import build_oracle, dealt
from sdpo_ref.simulation.oracles.critique import CritiqueOracle
from sdpo_ref.simulation.oracles.draws import Draws
from sdpo_ref.simulation.oracles.evidence import Evidence
from sdpo_ref.simulation.oracles.heterogeneous import Heterogeneous
from sdpo_ref.simulation.oracles.information import Informativeness, feedback_information
from sdpo_ref.simulation.oracles.misleading import Misleading
from sdpo_ref.simulation.oracles.missing import Missing
from sdpo_ref.simulation.oracles.noise_level import NoiseLevel
from sdpo_ref.simulation.oracles.ordinal import OrdinalOracle
from sdpo_ref.simulation.oracles.perception_biases import Position, SelfPreference, Verbosity
from sdpo_ref.simulation.oracles.rating_biases import CentralTendency, Halo, Positivity, Severity
from sdpo_ref.simulation.oracles.recording import Record, Recording
from sdpo_ref.simulation.oracles.rubric import RubricOracle
from sdpo_ref.simulation.oracles.scalar import ScalarOracle
from sdpo_ref.simulation.oracles.staged import Bias, Lens, StagedOracle

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
