"""What every test needs to stand on.

pytester forgets the modules that a run inside the test process imported first. Those with compiled parts cannot be imported twice, or
leave two copies of their classes; so they are imported here, before the first run.
"""

from __future__ import annotations

import numpy
import pydantic
import yaml

__all__ = ["numpy", "pydantic", "yaml"]
