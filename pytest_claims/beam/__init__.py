"""Beam search for BLIP-2 with OPT. It returns the same tokens as `generate`, and is faster.

    search = BeamSearch(model, BeamSettings.from_generation_config(config), input_ids=ids, slots=16)
    for image_id, tokens in search.run(images): ...

`settings` reads a generation config and refuses what the search does not implement. `prompts` holds the input tokens: the same
for all images, or others for each. `encoder` and `decoder` are the model's forward pass, with a key-value store that is never
copied. `hypotheses` ranks the captions. `search` is the loop over the images, and `turnover` the one for a GPU; `intake` takes
images for them that may come later. `graphs` makes CUDA graphs of its steps, and `capacity` chooses how many images are
decoded at a time. `closed` ranks the answers of a closed list on the same encoder and decoder.
"""

from __future__ import annotations

from pytest_claims.beam.capacity import SlotBudget, caption, choose_slots, most_slots
from pytest_claims.beam.closed import Closed, Ranking, ranking_class
from pytest_claims.beam.search import BeamSearch
from pytest_claims.beam.settings import BeamSettings, supports

__all__ = [
    "BeamSearch",
    "BeamSettings",
    "Closed",
    "Ranking",
    "SlotBudget",
    "caption",
    "choose_slots",
    "most_slots",
    "ranking_class",
    "supports",
]
