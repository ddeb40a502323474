"""Links of a text: which are found, the form in which they are opened, and the warnings about them."""

from __future__ import annotations

import pytest

from vestige_tui.core.web_links import MAX_ADDRESS_CHARS, web_links


def addresses(text: str) -> list[str]:
    return [link.address for link in web_links([text])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See https://example.org/a_(b), and (http://x.org/y).", ["https://example.org/a_(b)", "http://x.org/y"]),
        ("[md](https://md.org/x) <https://y.org>; **https://z.org**", ["https://md.org/x", "https://y.org", "https://z.org"]),
        ("HTTPS://Example.ORG/Q?a=ü&b=%20#f", ["https://example.org/Q?a=%C3%BC&b=%20#f"]),
        ("http://1.2.3.4:8080/ http://[::1]:8/", ["http://1.2.3.4:8080/", "http://[::1]:8/"]),
        ("https://a.org https://a.org", ["https://a.org"]),
        ("ftp://x.org javascript:alert(1) file:///etc/passwd data:text/html,x xhttps://a.org", []),
        ("https:///x https://a:99999/x https://-/ https://", []),
        ("https://good.org\\@evil.org/", ["https://good.org"]),
        (f"https://a.org/{'x' * MAX_ADDRESS_CHARS}", []),
    ],
)  # fmt: skip
def test_links_to_web_pages_are_found(text: str, expected: list[str]) -> None:
    assert addresses(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "https://a.org/\u202egpj.exe", "https://a\u200bb.org/", "https://\u0430pple.com/", "https://a.org/\x1b[31m",
        "https://a.org/\ud800", "https://\u24d4xample.com/", "https://a.org/\u2028x", "https://a.org/\u00ad", "https://a.org/\U000e0041",
    ],
)  # fmt: skip
def test_an_address_hides_nothing(text: str) -> None:
    for address in addresses(text):
        assert address.isascii()
        assert address.isprintable()


def test_a_misleading_form_is_told() -> None:
    [link] = web_links(["https://paypal.com:pay@evil.org/login"])
    assert link.host == "evil.org"
    assert link.warnings == ("The part before the @ is a user name; the site is evil.org.",)
    [link] = web_links(["https://\u0430pple.com/"])
    assert (link.address, link.host) == ("https://xn--pple-43d.com/", "xn--pple-43d.com")
    assert "its real name is xn--pple-43d.com" in link.warnings[0]
    [link] = web_links(["https://xn--pple-43d.com/"])
    assert "(xn--…)" in link.warnings[0]
    [link] = web_links(["https://a.org/user@host"])
    assert link.warnings == ()
