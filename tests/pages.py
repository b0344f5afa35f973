"""A page as tests read it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """Collects text in order, table cells, ids, links, images, and the tags that are not closed in turn."""

    def __init__(self, source):
        super().__init__()
        self.ids, self.links, self.images = [], [], []
        self.open, self.faults, self.words, self.rows = [], [], [], []
        self.feed(source)
        self.close()
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    @property
    def cells(self):
        """Table cells, row after row."""
        return [cell for row in self.rows for cell in row]

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "a":
            self.links.append(given["href"])
        if tag == "img":
            self.images.append(given)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag == "small" and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += " | "

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"style", "title"}:
            self.words.append(data.strip())
            if {"td", "th"} & set(self.open):
                self.rows[-1][-1] += data.strip()
