"""
Check that the site's search finds every public name, on a page that has it.

    python -m docs.site_check build/docs

``make docs`` runs this on the site that it has built; it exits with what is missing, each with its place in the code.
The search is the one that readers have: the site's own index and stop words, and Sphinx's splitting and stemming.
"""

from __future__ import annotations

import json
import re
import sys
from html import unescape
from pathlib import Path
from typing import Any

from sphinx.search.en import SearchEnglish

from docs.public_names import public_names


class SiteSearch:
    """
    The search of a site that Sphinx has built.

    :param site: The site's folder.
    """

    def __init__(self, site: Path) -> None:
        index = (site / "searchindex.js").read_text()
        self._index: dict[str, Any] = json.loads(index.removeprefix("Search.setIndex(").rstrip().removesuffix(")"))
        # Words that the search of a browser leaves out of a query.
        (words,) = re.findall(
            r"stopwords = new Set\((.*?)\)", (site / "_static" / "language_data.js").read_text(), re.S
        )
        self._stop_words = set(json.loads(words))
        self._language = SearchEnglish({})
        self._texts = {page: text_of(site / f"{page}.html") for page in self._index["docnames"]}

    def pages(self, query: str) -> set[str]:
        """
        Return the pages that the search finds: those with all words of a query, and those that an index entry leads to.

        :param query: What a reader types.
        """
        words = [word.lower() for word in self._language.split(query)]
        terms = [self._language.stem(word) for word in words if word not in self._stop_words and not word.isdigit()]
        found = [self._with(term, "terms") | self._with(term, "titleterms") for term in terms]
        entries = {entry[0] for entry in self._index["indexentries"].get(query.lower(), ())}
        return self._named((set.intersection(*found) if found else set()) | entries)

    def finds(self, name: str) -> bool:
        """
        Whether one of the pages found has the name, as it is written in code.

        :param name: A public name.
        """
        whole = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
        return any(whole.search(self._texts[page]) for page in self.pages(name))

    def _with(self, term: str, part: str) -> set[int]:
        pages = self._index[part].get(term, [])
        return {pages} if isinstance(pages, int) else set(pages)

    def _named(self, numbers: set[int]) -> set[str]:
        return {self._index["docnames"][number] for number in numbers}


def text_of(page: Path) -> str:
    """
    Return the text of a page's article, without menus and markup.

    :param page: The HTML file.
    """
    article = page.read_text().partition("<article")[2].partition("</article>")[0]
    return unescape(re.sub(r"<[^>]*>", "", article))


def main(site: Path) -> int:
    """Print the names that the search does not find, and return how the process ends."""
    search = SiteSearch(site)
    missing = {one for one in public_names() if not search.finds(one.name)}
    for one in sorted(missing, key=lambda name: (name.place, name.name)):
        print(f"{one.place}: the site's search finds no page that names {one.name} ({one.what})", file=sys.stderr)
    return min(len(missing), 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
