"""Who is let in: only who has the token, from a page of ours, under our own name."""

import pytest

pytest.importorskip("starlette")

from observatory.serving.guard import Guard

OURS = {"host": "127.0.0.1:8000"}


def asked(path="/secret/", **headers):
    named = {name.replace("_", "-"): value for name, value in {**OURS, **headers}.items()}
    scope = {
        "type": "http",
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    refusal = Guard(None, "secret", 8000).refusal(scope)
    return 200 if refusal is None else refusal.status_code


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({}, 200),
        ({"host": "localhost:8000"}, 200),
        ({"sec_fetch_site": "same-origin", "origin": "http://127.0.0.1:8000"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"host": "127.0.0.1"}, 403),
        ({"host": "127.0.0.1:9000"}, 403),
        ({"host": "evil.example:8000"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_where_a_request_comes_from(headers, answer):
    assert asked(**headers) == answer


@pytest.mark.parametrize("path", ["/", "/secre/", "/secret2/", "//secret/", "/x/secret/", ""])
def test_without_the_token_nothing_is_there(path):
    assert asked(path) == 404


def test_no_host_no_answer():
    scope = {"type": "http", "path": "/secret/", "headers": []}
    assert Guard(None, "secret", 8000).refusal(scope).status_code == 403
