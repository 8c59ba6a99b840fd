"""Ray Serve with one deployment, over HTTP; a script of its own, for any Python that has ray[serve].

Prints "ready" once it takes requests, and ends when its standard input closes. Mode "haproxy" puts Ray's own HAProxy
in front and asks for throughput, as Ray's documentation recommends; "default" changes nothing.
"""

import argparse
import os
import sys
from types import GenericAlias
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.requests import Request

OWN_ENVIRONMENT = {
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
HAPROXY = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("--mode", choices=("default", "haproxy"), default="default")
    arguments = parser.parse_args()
    os.environ.update(OWN_ENVIRONMENT)
    if arguments.mode == "haproxy":
        os.environ.update(HAPROXY)
    serve(arguments.listen)
    return 0


def serve(listen: str) -> None:
    import ray
    from ray import serve as ray_serve

    host, _, port = listen.rpartition(":")

    class Orders:
        """Imports inside, since a deployment is pickled."""

        def __init__(self) -> None:
            import msgspec
            from starlette.responses import Response

            item: Any = msgspec.defstruct("Item", [("sku", str), ("quantity", int), ("unit_cents", int)])
            items = GenericAlias(list, (item,))
            order: Any = msgspec.defstruct(
                "PlaceOrder", [("order_id", str), ("customer", str), ("items", items), ("note", str, "")]
            )
            self._decoder: Any = msgspec.json.Decoder(order)
            self._encoder = msgspec.json.Encoder()
            self._response = Response

        async def __call__(self, request: "Request") -> object:
            order = self._decoder.decode(await request.body())
            total = sum(item.quantity * item.unit_cents for item in order.items)
            placed = {"order_id": order.order_id, "total_cents": total, "lines": len(order.items)}
            return self._response(self._encoder.encode(placed), media_type="application/json")

    deployment: Any = ray_serve.deployment(num_replicas=1, max_ongoing_requests=512)(Orders)
    ray.init(include_dashboard=False, logging_level="ERROR", log_to_driver=False, num_cpus=max(2, os.cpu_count() or 2))
    try:
        ray_serve.start(http_options={"host": host, "port": int(port)})
        ray_serve.run(deployment.bind(), route_prefix="/")
        print("ready", flush=True)
        sys.stdin.read()
    finally:
        ray_serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    sys.exit(main())
