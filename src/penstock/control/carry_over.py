"""What a new engine, device or default precision leaves of a profile: enough to serve on until it is measured again."""

import logging
from dataclasses import replace

from penstock.control.offers import Appraisal, Offers
from penstock.domain.profile import Fingerprint
from penstock.ports.store import Store

_log = logging.getLogger(__name__)


async def carry_over(store: Store, offers: Offers) -> None:
    """At start: versions that serve and were measured under another fingerprint keep what was measured, as stale.

    So they serve on as before, and are measured when their device is idle; no deployment is needed for it.
    """
    async with store.unit() as unit:
        entities = [entity for one in await unit.endpoints.list() if one.active for entity in one.active.entities]
    appraisals = await offers.of_entities(entities)
    for entity in entities:
        appraisal = appraisals.get(entity.spec)
        if appraisal is not None and appraisal.profile is None:
            await _carry(store, appraisal, chosen=entity.precision is not None)


async def _carry(store: Store, appraisal: Appraisal, *, chosen: bool) -> None:
    """`chosen`: somebody asked for that precision, so that another one's profile says nothing of it."""
    now = appraisal.fingerprint
    async with store.unit() as unit:
        known = await unit.profiles.of(now.version)
        alike = [one for one in known if one.fingerprint.precision == now.precision]
        best = next(iter(alike or (() if chosen else known)), None)
        if best is None or await unit.profiles.get(now) is not None:
            return
        why = _changed(best.fingerprint, now)
        await unit.profiles.put(replace(best, fingerprint=now, stale=why))
    _log.warning("the profile of %s is to be measured again: %s", now.version, why)


def _changed(before: Fingerprint, now: Fingerprint) -> str:
    changes = [
        f"the {name} was {getattr(before, name)} and is {getattr(now, name)}"
        for name in ("engine", "device", "precision")
        if getattr(before, name) != getattr(now, name)
    ]
    said = ", ".join(changes)
    return f"{said[:1].upper()}{said[1:]} since it was measured."
