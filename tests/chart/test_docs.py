"""The documentation names what there is: pages, sections, settings, ports. Its snippets are well-formed."""

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from chart import CHART, ROOT, leaves

DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), CHART / "README.md"]
SETTINGS = (ROOT / "src" / "config" / "settings.rs").read_text()
# Of the files in a Secret with a certificate.
KUBERNETES_NAMES = {"tls.key", "tls.crt"}
# First parts of the keys there are.
SECTIONS = "rtc|prometheus|tracing|drain|limit|tls|room|logging"


def anchors(page: Path) -> set[str]:
    """Of headings, as they are made of them where the repository is shown."""
    headings = re.findall(r"^#+ (.+)$", without_snippets(page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def without_snippets(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def snippets(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_snippets(page.read_text())):
        path, _, anchor = link.partition("#")
        if re.match(r"https?:", path):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_index_lists_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_are_named_exist(page: Path) -> None:
    keys = set(re.findall(rf"`((?:{SECTIONS})\.\w+)`", page.read_text()))
    flags = {match.replace("_", "-").lower() for match in re.findall(r"\bSFUMATO_([A-Z_]+)\b", page.read_text())} - {"config"}
    # Of the same form are values of the chart.
    keys -= {path for path, _ in leaves(yaml.safe_load((CHART / "values.yaml").read_text()))} | KUBERNETES_NAMES
    for name in keys | flags:
        assert f'"{name}"' in SETTINGS, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets_are_well_formed(page: Path) -> None:
    for snippet in snippets(page, "yaml"):
        yaml.safe_load(snippet)
    for snippet in snippets(page, "sh"):
        done = subprocess.run(["bash", "-n"], input=snippet, capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 0, f"{snippet}\n{done.stderr}"


def yaml_snippets() -> list[tuple[str, dict]]:
    return [(page.name, yaml.safe_load(snippet)) for page in PAGES for snippet in snippets(page, "yaml")]


def assert_settings(tree: dict, where: str) -> None:
    for path, _ in leaves(tree):
        assert f'"{path}"' in SETTINGS, f"{path} in {where}"


def test_snippets_of_settings_and_of_values_fit() -> None:
    """A snippet is one of values where each of its first keys is a value, else one of settings where each begins a setting."""
    values = jsonschema.Draft7Validator(json.loads((CHART / "values.schema.json").read_text()))
    known = values.schema["properties"]
    sections = {"port", "keys", "shards", "connections_per_address", *SECTIONS.split("|")}
    seen = {"values": 0, "settings": 0}
    for page, snippet in yaml_snippets():
        if set(snippet) <= set(known):
            values.validate(snippet)
            assert_settings(snippet.get("config", {}), page)
            seen["values"] += 1
        elif set(snippet) <= sections:
            assert_settings(snippet, page)
            seen["settings"] += 1
    assert min(seen.values()) >= 2, seen


def test_files_that_are_named_exist() -> None:
    for page in PAGES:
        for path in re.findall(r"(?:^|[\s`])((?:deploy|helm|scripts|src|tests)/[\w./-]+\w)", page.read_text()):
            assert (ROOT / path).exists(), f"{path} in {page.name}"


def test_pages_do_not_name_this_machine() -> None:
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(?:work|tmp|root)/", page.read_text()), page.name
