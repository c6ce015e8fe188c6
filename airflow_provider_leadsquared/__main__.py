"""``python -m airflow_provider_leadsquared``."""

from __future__ import annotations

import sys

from airflow_provider_leadsquared.cli.main import main

sys.exit(main())
