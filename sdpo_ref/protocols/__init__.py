"""What others implement: ``Policy``, ``Oracle``, ``Teacher``, ``Trainer``, and the parts that ``verify`` checks."""

from sdpo_ref.protocols.oracle import Oracle as Oracle
from sdpo_ref.protocols.policy import Policy as Policy
from sdpo_ref.protocols.teacher import Teacher as Teacher
from sdpo_ref.protocols.trainer import Trainer as Trainer
