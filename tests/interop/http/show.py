"""Runs Python snippets, and prints their results as one JSON list."""

import json
import os
import sys

import requests
from requests.exceptions import *

KINDS = {
    "ConnectTimeout": "timeout.connect",
    "ReadTimeout": "timeout.read",
    "SSLError": "tls",
    "ProxyError": "proxy",
    "ConnectionError": "connect",
    "TooManyRedirects": "too_many_redirects",
    "MissingSchema": "invalid_url",
    "InvalidSchema": "invalid_url",
    "InvalidURL": "invalid_url",
    "LocationParseError": "invalid_url",
    "JSONDecodeError": "decode",
    "ChunkedEncodingError": "decode",
    "ContentDecodingError": "decode",
    "HTTPError": "status",
    "RetryError": "status",
    "InvalidHeader": "invalid_argument",
    "TypeError": "invalid_argument",
    "ValueError": "invalid_argument",
}


def show(r):
    """Returns the visible fields of a response."""
    try:
        found = r.json()
    except ValueError:
        found = None
    return {
        "status_code": r.status_code,
        "ok": r.ok,
        "reason": r.reason,
        "headers": {name.lower(): value for name, value in r.headers.items()},
        "encoding": r.encoding and r.encoding.lower(),
        "text": r.text if found is None else None,
        "length": len(r.content) if found is None else None,
        "json": found,
        "url": r.url,
        "took_time": r.elapsed.total_seconds() > 0,
        "is_redirect": r.is_redirect,
        "history": [
            {"status_code": hop.status_code, "url": hop.url, "cookies": dict(hop.cookies), "text": hop.text}
            for hop in r.history
        ],
        "cookies": dict(r.cookies),
        "links": r.links,
        "shown": repr(r),
    }


def run(text, environment):
    """Runs one snippet, and returns the value of `seen`."""
    names = {"requests": requests, "show": show, "json": json}
    os.environ.update(environment)
    try:
        exec(text, names)
        return names.get("seen")
    except Exception as error:
        name = type(error).__name__
        return {"fault": KINDS.get(name, name), "message": str(error)}
    finally:
        for name in environment:
            del os.environ[name]


requests.packages.urllib3.disable_warnings()
json.dump([run(*snippet) for snippet in json.load(sys.stdin)], sys.stdout)
