"""The pages of docs/decisions: each has a number of its own, and its title begins with it."""

from pathlib import Path

PAGES = sorted((Path(__file__).parents[2] / "docs" / "decisions").glob("[0-9]*.md"))


def test_numbers_are_not_given_twice() -> None:
    numbers = [page.name.split("-")[0] for page in PAGES]
    assert numbers
    assert len(numbers) == len(set(numbers)), f"given twice: {numbers}"


def test_titles_begin_with_the_number_of_the_page() -> None:
    for page in PAGES:
        number = int(page.name.split("-")[0])
        assert page.read_text(encoding="utf-8").startswith(f"# {number}. "), page.name
