"""Routes that FastAPI describes and does not run.

For each request FastAPI works out anew what a function needs to be given. That was a quarter of what the app itself did
for a short recording.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from apps.serving.answers import Asked


class Direct(APIRoute):
    """A route whose dependencies are called with the request, and then its function, with what was asked besides.

    The function is `f(request: Request, asked: Annotated[Asked, Query()]) -> Response`: that is what OpenAPI shows.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what is done with a request: FastAPI's own hook for it."""
        checks = [each.dependency for each in self.dependencies if each.dependency]

        async def handle(request: Request) -> Response:
            for check in checks:
                await check(request)
            answer: Response = await self.endpoint(request, Asked.of(request))
            return answer

        return handle
