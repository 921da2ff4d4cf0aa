"""Replies that come page by page."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from bundler.errors import TransferError

Page = TypeVar("Page", bound=Mapping[str, Any])


def read_pages(ask: Callable[[dict[str, Any]], Page], stuck: str) -> Iterator[Page]:
    """The replies to one request; a page may be empty, and yet not be the last one.

    `ask` sends the request with the parameters that it is given besides (`NextToken`, or none).

    Raises:
        TransferError: a reply goes on where the one before it did, with the words `stuck`.
    """
    more: dict[str, Any] = {}
    while True:
        page = ask(more)
        yield page
        following = page.get("NextToken")
        if not following:
            return
        if following == more.get("NextToken"):
            raise TransferError(stuck)
        more = {"NextToken": following}
