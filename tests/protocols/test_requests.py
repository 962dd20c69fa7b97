"""Every request leads somewhere, or says that it does not yet."""

from spinodal.protocols.requests import REQUESTS
from spinodal.report.registry import SECTIONS


def test_every_source_asks_something():
    sources = [request.source for request in REQUESTS]
    assert sources == sorted(
        sources,
        key=["claim", "figure", "prediction", "referee", "practitioner"].index,
    )
    counts = {source: sources.count(source) for source in sources}
    assert counts["claim"] == 3
    assert {r.where for r in REQUESTS if r.source == "prediction"} == {
        "prediction 1",
        "prediction 2",
        "prediction 3",
    }
    assert counts["referee"] == 6
    assert counts["practitioner"] == 7


def test_every_figure_and_appendix_of_the_paper_is_listed():
    where = " ".join(request.where for request in REQUESTS)
    for figure in ("1a", "1b", "2a", "2b", "3", "4"):
        assert f"figure {figure}" in where
    for appendix in "ABCDEFG":
        assert any("appendi" in r.where and f" {appendix}" in r.where for r in REQUESTS), appendix


def test_an_answered_request_names_an_existing_section_and_its_command():
    for request in REQUESTS:
        if request.section is None:
            assert request.command is None
        elif request.section == "atlas":
            assert (request.command or "").startswith("spinodal atlas --")
        else:
            assert request.section in SECTIONS
            assert request.command == f"spinodal reproduce --only {request.section}"


def test_no_request_is_listed_twice():
    assert len({(r.source, r.request) for r in REQUESTS}) == len(REQUESTS)
