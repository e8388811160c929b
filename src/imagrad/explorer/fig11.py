"""The curve of Fig. 11 for the page: the saved one, or one that is measured in the pauses of other work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from imagrad.errors import ImagradError
from imagrad.explorer.curves import Curve, measured, trial_of
from imagrad.explorer.messages import CurveFacts
from imagrad.explorer.subject import Subject
from imagrad.explorer.work import Answer, Bench, BusyError

_PAUSE = 0.02  # seconds between steps, in which somebody who draws comes first
_NONE = (
    "There is no curve: it needs a classifier, and images with its labels. `imagrad check corruption` trains one and "
    "measures the curve; name its run folder: imagrad serve RUN."
)


class Fig11:
    """Begins to measure when it is first asked for."""

    def __init__(self, subject: Subject) -> None:
        """Begin with the saved curve, if there is one."""
        self._subject = subject
        self._curve = subject.curve
        self._task: asyncio.Task[None] | None = None
        self._failure: str | None = None

    def facts(self, bench: Bench) -> CurveFacts:
        """Return what there is; begin to measure where there is nothing yet, and there can be."""
        if self._failure is not None:
            return _facts("none", f"The curve could not be measured: {self._failure}", None)
        if self._curve is None and not self._subject.can_measure_curve:
            return _facts("none", _NONE, None)
        if self._curve is None and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._measure(bench))
        if self._curve is None or self._curve.done < 1:
            return _facts("on its way", "The curve is being measured.", self._curve)
        return _facts("there", self._curve.source, self._curve)

    def stop(self) -> None:
        """Give up measuring."""
        if self._task is not None:
            self._task.cancel()

    async def _measure(self, bench: Bench) -> None:
        """Measure step by step."""
        try:
            steps = await self._in_a_pause(bench, self._begin)
            while (curve := await self._in_a_pause(bench, _step, steps)) is not None:
                self._curve = curve
        except ImagradError as error:
            self._curve, self._failure = None, str(error)
        except Exception as error:  # nobody awaits this task: unsaid, the curve would be on its way for ever
            self._curve, self._failure = None, f"{type(error).__name__}: {error}"
            raise

    async def _in_a_pause(self, bench: Bench, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Compute when nobody waits; try again where somebody was quicker."""
        while True:
            await asyncio.sleep(_PAUSE)
            if not bench.waiting:
                with suppress(BusyError):
                    return await bench.run(function, *arguments)

    def _begin(self) -> Iterator[Curve]:
        subject = self._subject
        assert subject.classifier is not None
        return measured(trial_of(subject.classifier, subject.dataset, subject.device), subject.networks[0].encode)


def _step(steps: Iterator[Curve]) -> Curve | None:
    """Take the next step; None after the last."""
    return next(steps, None)


def _facts(state: str, text: str, curve: Curve | None) -> CurveFacts:
    return CurveFacts.model_validate(
        {
            "state": state,
            "text": text,
            "percentages": [] if curve is None else list(curve.percentages),
            "accuracies": {} if curve is None else {side: list(values) for side, values in curve.accuracies.items()},
            "done": 0.0 if curve is None else curve.done,
        }
    )
