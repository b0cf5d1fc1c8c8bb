"""Addresses with a password in them, which no message and no result may show."""

import re

PASSWORD = re.compile(
    r"(?<=://)[^/@\s]*:[^/@\s]*@"  # user:password@host
    r"|(?<=[?&])password=[^&\s'\"]*"
)


def has_password(address: str) -> bool:
    """Whether there is a password in a URI."""
    return PASSWORD.search(address) is not None


def without_password(text: str) -> str:
    """`text` without the user and password of any address in it."""
    return PASSWORD.sub("", text)
