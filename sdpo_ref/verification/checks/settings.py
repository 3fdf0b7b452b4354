"""On which alphas and supports a check asks: on those that the implementation offers, and on no other.

A check does not name a support. It takes :meth:`Offers.each` where every support has to behave alike (masks, padding,
the order of rows), and :meth:`Offers.one` where it knows the answer: the whole vocabulary if that is on offer, and else
a top-k so wide that nothing is left out, or the sampled token.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from sdpo_ref.protocols.profile import Profile
from sdpo_ref.types import FULL, SAMPLED_TOKEN, Support, SupportKind
from sdpo_ref.verification.checks.mismatch import NotAskedError
from sdpo_ref.verification.suite.capabilities import SUPPORTS, is_declared


@dataclass(frozen=True)
class Setting:
    """One way of asking for the divergence or the loss.

    Attributes:
        alpha: of the divergence.
        support: of the divergence.
    """

    alpha: float
    support: Support

    @property
    def options(self) -> dict[str, Any]:
        """As keyword arguments of the part."""
        return {"alpha": self.alpha, "support": self.support}

    @property
    def given(self) -> dict[str, object]:
        """For a report: the alpha, and the support if it is not the whole vocabulary.

        Example:
            >>> Setting(0.25, Support("top_k_tail", 2)).given
            {'alpha': 0.25, 'support': 'top_k_tail', 'k': 2}
        """
        support = {} if self.support == FULL else {"support": self.support.kind}
        return {"alpha": self.alpha, **support, **({} if self.support.k is None else {"k": self.support.k})}

    def as_arguments(self) -> list[str]:
        """For the command line of another process; :meth:`parse` reads it."""
        return [repr(self.alpha), self.support.kind, *([] if self.support.k is None else [str(self.support.k)])]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Setting":
        """The setting that a command line names.

        Example:
            >>> Setting.parse(Setting(0.25, Support("top_k_tail", 2)).as_arguments()).given
            {'alpha': 0.25, 'support': 'top_k_tail', 'k': 2}
        """
        alpha, kind, *k = arguments
        return cls(float(alpha), Support(kind, int(k[0]) if k else None))  # type: ignore[arg-type]

    @property
    def is_surrogate(self) -> bool:
        """Whether only the gradient has a meaning: the loss is that of the sampled token (LOSS-030)."""
        return self.support == SAMPLED_TOKEN


class Offers:
    """The settings that an implementation offers.

    Args:
        capabilities: what it declares.
        profile: what it declares; here for its alphas.
        answers: whether a part answers its simplest call in a setting; asked at most once for each.
    """

    def __init__(
        self, capabilities: Collection[str], profile: Profile, answers: Callable[[str, Setting], bool]
    ) -> None:
        self._capabilities = capabilities
        self._alphas = profile.alphas
        self._answers = answers
        self._known: dict[tuple[str, Setting], bool] = {}

    def each(self, part: str, *, at: float | None = None, near: float = 0.25, k: int = 2) -> tuple[Setting, ...]:
        """The settings on every support that is offered, at one alpha.

        Args:
            part: ``divergence``, ``loss``, or another part that takes an alpha and a support.
            at: the alpha; an interior one stands for every interior one. The sampled token has alpha 1 only.
            near: without ``at``: whichever alpha is offered, nearest to this one.
            k: of the top-k supports.

        Returns:
            At least one setting.

        Raises:
            NotAskedError: if there is none, so that the check does not apply.
        """
        wide = {"full": None, "top_k_tail": k, "top_k_renormalized": k, "sampled_token": None}
        return tuple(self._offered(part, at, near, wide))

    def one(self, part: str, *, at: float | None = None, near: float = 0.25, vocab: int) -> Setting:
        """The setting in which the answer is that of the full vocabulary; on the sampled token if there is no other.

        A top-k with a tail takes all tokens but one, and a renormalised one takes all (LOSS-024).

        Args:
            part: as in :meth:`each`.
            at: as in :meth:`each`.
            near: as in :meth:`each`.
            vocab: the number of tokens in the check's input.

        Returns:
            The setting.

        Raises:
            NotAskedError: if there is none, so that the check does not apply.
        """
        wide = {
            "full": None,
            "top_k_tail": max(vocab - 1, 1),
            "top_k_renormalized": vocab,
            "sampled_token": None,
        }
        return self._offered(part, at, near, wide)[0]

    def on(self, part: str, support: Support, *, near: float = 1.0) -> Setting:
        """The setting on one support, declared or not, at the nearest alpha that is offered and answers.

        Args:
            part: as in :meth:`each`.
            support: of the divergence.
            near: the alpha.

        Returns:
            The setting; one that does not answer, if none does.
        """
        settings = [Setting(alpha, support) for alpha in self._alphas_for(support, None, near)]
        return next(filter(partial(self._is_answered, part), settings), settings[0])

    def exactly(self, part: str, alpha: float, support: Support, *, vocab: int) -> Setting:
        """The setting whose answer is known for one alpha and one support; the full vocabulary as in :meth:`one`.

        Args:
            part: as in :meth:`each`.
            alpha: and no other between 0 and 1 in its place.
            support: of the divergence.
            vocab: the number of tokens in the check's input.

        Returns:
            The setting.

        Raises:
            NotAskedError: if it is not on offer, so that the check does not apply.
        """
        setting = self.one(part, at=alpha, vocab=vocab) if support == FULL else self.on(part, support, near=alpha)
        if setting.alpha != alpha:
            raise NotAskedError(self._why_not(part, alpha, [support]))
        if setting.is_surrogate and support != SAMPLED_TOKEN:
            raise NotAskedError("the sampled token has no divergence")
        return setting

    def alphas(self, part: str) -> dict[float, bool]:
        """Each alpha that is declared, 0, 0.25 and 1 for all of them, and whether a declared part answers there."""
        if not is_declared(part, self._capabilities):
            return {}
        supports = [it for it in self._simplest_supports(part) if it != SAMPLED_TOKEN]
        declared = (0.0, 0.25, 1.0) if self._alphas == "all" else self._alphas
        return {
            alpha: any(self._is_answered(part, Setting(alpha, support)) for support in supports)
            for alpha in declared
            if supports
        }

    def _offered(self, part: str, at: float | None, near: float, sizes: Mapping[str, int | None]) -> list[Setting]:
        supports = [Support(kind, sizes[kind]) for kind in self._kinds(part)]
        wanted = [[Setting(alpha, support) for alpha in self._alphas_for(support, at, near)] for support in supports]
        found = [next(filter(partial(self._is_answered, part), settings), None) for settings in wanted]
        if any(found):
            return [setting for setting in found if setting is not None]
        if any(wanted) and not self._answers_at_all(part):
            return [settings[0] for settings in wanted if settings]  # the call says what is wrong (CONF-001)
        raise NotAskedError(self._why_not(part, at, supports))

    def _kinds(self, part: str) -> list[SupportKind]:
        """Supports that are declared; a part that declares none of its own is asked on those of the loss."""
        of_part = SUPPORTS.get(part, SUPPORTS["loss"])
        declared = [kind for kind, capability in of_part.items() if capability in self._capabilities]
        return cast("list[SupportKind]", declared) or ["full"]

    def _alphas_for(self, support: Support, at: float | None, near: float) -> list[float]:
        """The alphas that may stand for the wanted one, the best first."""
        if support == SAMPLED_TOKEN:
            return [1.0] if at in (None, 1.0) else []
        if at is None:
            exist = (near, 0.25, 0.0, 1.0) if self._alphas == "all" else self._alphas
            return sorted(exist, key=lambda it: abs(it - near))
        exist = (at,) if self._alphas == "all" else self._alphas
        alike = [it for it in exist if it == at or (0.0 < it < 1.0 and 0.0 < at < 1.0)]
        return sorted(alike, key=lambda it: abs(it - at))

    def _why_not(self, part: str, at: float | None, supports: Sequence[Support]) -> str:
        if supports == [SAMPLED_TOKEN]:
            return "the sampled token has alpha 1 only"
        if self._alphas == "all":
            return f"{part} does not answer at alpha {at} (CONF-001)"
        inner = at is not None and 0.0 < at < 1.0 and not any(0.0 < it < 1.0 for it in self._alphas)
        which = "any between 0 and 1" if inner else at
        return f"the profile declares alpha {', '.join(f'{it:g}' for it in self._alphas)}, so not {which}"

    def _answers_at_all(self, part: str) -> bool:
        return any(
            self._is_answered(part, Setting(alpha, support))
            for support in self._simplest_supports(part)
            for wanted in (0.0, 0.25, 1.0)
            for alpha in self._alphas_for(support, wanted, wanted)
        )

    def _simplest_supports(self, part: str) -> list[Support]:
        return [Support(kind, 2 if kind.startswith("top_k") else None) for kind in self._kinds(part)]

    def _is_answered(self, part: str, setting: Setting) -> bool:
        simplest = Setting(setting.alpha, Support(setting.support.kind, setting.support.k and 2))
        if (part, simplest) not in self._known:
            self._known[part, simplest] = self._answers(part, simplest)
        return self._known[part, simplest]
