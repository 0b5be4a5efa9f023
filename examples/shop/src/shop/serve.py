"""The application: ``shop.serve:app``."""

from __future__ import annotations

from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from shop.prices import price


@serve.deployment
class Shop:
    """Answers ``/?fruit=apple&count=3``."""

    async def __call__(self, request: Request) -> JSONResponse:
        """Return the price."""
        fruit = request.query_params.get("fruit", "")
        try:
            cents = price(fruit, int(request.query_params.get("count", "1")))
        except (KeyError, ValueError):
            return JSONResponse({"error": f"no price for {fruit!r}"}, 404)
        return JSONResponse({"fruit": fruit, "cents": cents})


app = Shop.bind()
