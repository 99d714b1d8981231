"""docs/reference/notices.md says of the topics what the catalogue says."""

from tests.docs import notices_page


def test_the_topics_of_the_page_are_those_of_the_catalogue() -> None:
    made = notices_page.page_with(notices_page.made())
    assert notices_page.PAGE.read_text() == made, "run `python -m tests.docs.notices_page`"
