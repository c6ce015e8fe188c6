"""How the documentation site is built; ``make docs`` runs it."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

import airflow_provider_leadsquared

project = "airflow-provider-leadsquared"
author = "The authors of airflow-provider-leadsquared"
version = release = airflow_provider_leadsquared.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["*.py"]
# A role that leads nowhere is an error, but for these.
nitpicky = True
nitpick_ignore_regex = [
    # Documented elsewhere; the site is built offline, without the inventories of their sites.
    ("py:class", r"(airflow|collections\.abc)\..*|AbstractContextManager|PokeReturnValue"),
    # Types in signatures of methods that this package's own tasks call; users neither make nor read them.
    ("py:class", r"Account|Confirmation|LeadRules|Payload|Rows|SingleCallSession|_Name|.*\.leads\.Confirmation"),
]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_class_signature = "separated"
autodoc_inherit_docstrings = False
autodoc_type_aliases = {"responses.Receipt": "airflow_provider_leadsquared.api.responses.Receipt"}

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path: list[str] = []
html_copy_source = False
#: Pages of the repository that lie beside this folder, and those of the site that show them.
ELSEWHERE = {
    "../README.md": "index.md",
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
}

# Shell and Python prompts are not copied with the commands.
copybutton_prompt_text = "$ "


def _lead_to_the_sites_pages(_: Sphinx, __: str, text: list[str]) -> None:
    for link, page in ELSEWHERE.items():
        text[0] = text[0].replace(f"({link}", f"({page}")
    # What the site has no page for is named without a link.
    text[0] = re.sub(r"\[([^]]*)\]\(\.\./tests/[^)]*\.md\)", r"\1", text[0])


def setup(app: Sphinx) -> None:
    """Let links lead to the site's own pages."""
    app.connect("source-read", _lead_to_the_sites_pages)
