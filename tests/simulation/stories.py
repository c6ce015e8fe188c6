"""
The themes: stories that are made likely.

Each is a general description of a world, with few customers and little beside its story, so that what needs several
rare things in one order is drawn in some of its seeds.
"""

from __future__ import annotations

from tests.simulation.stories_of_captures import STORIES_OF_CAPTURES
from tests.simulation.stories_of_faults import STORIES_OF_FAULTS
from tests.simulation.stories_of_leads import STORIES_OF_LEADS
from tests.simulation.stories_of_phones import STORIES_OF_PHONES

#: Each in the same share of the seeds that have a theme.
THEMES = {**STORIES_OF_LEADS, **STORIES_OF_PHONES, **STORIES_OF_FAULTS, **STORIES_OF_CAPTURES}
