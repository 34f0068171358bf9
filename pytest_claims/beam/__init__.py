"""Beam search for BLIP-2 with OPT: `generate`'s tokens, without its waste.

    search = BeamSearch(model, BeamSettings.from_generation_config(config), input_ids=ids, slots=16)
    for image_id, tokens in search.run(images): ...

`settings` says what is honoured and what is refused, `decoder` is the model's arithmetic over one key-value store that
is never copied, `hypotheses` the bookkeeping, `search` the loop, `capacity` how many images fit.
"""

from __future__ import annotations

from pytest_claims.beam.capacity import SlotBudget, caption, choose_slots
from pytest_claims.beam.search import BeamSearch
from pytest_claims.beam.settings import BeamSettings, supports

__all__ = ["BeamSearch", "BeamSettings", "SlotBudget", "caption", "choose_slots", "supports"]
