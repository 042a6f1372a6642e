"""Chart worker: draws a Vega-Lite specification inside the sandbox.

It reads a request as JSON from standard input, and writes one line of JSON to standard output, followed by the bytes of
the chart. It imports nothing of the package, which is not there inside.
"""

import json
import sys
from typing import Any


def main() -> None:
    """Draw the chart of the request on standard input."""
    import vl_convert  # type: ignore[import-untyped]

    request: dict[str, Any] = json.load(sys.stdin)
    spec: dict[str, Any] = request["spec"]
    drawn: bytes | str = b""
    try:
        if request["form"] == "png":
            drawn = vl_convert.vegalite_to_png(spec, scale=request["scale"], allowed_base_urls=[])
        elif request["form"] == "svg":
            drawn = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
        else:
            drawn = vl_convert.vegalite_to_html(spec, bundle=True)
        said: dict[str, Any] = {}
    except ValueError as error:
        lines = [line for line in str(error).splitlines() if not line.lstrip().startswith("at ")]
        said = {"error": " ".join(lines).partition("failed:")[2].strip() or " ".join(lines)}
    sys.stdout.buffer.write(json.dumps(said).encode() + b"\n")
    sys.stdout.buffer.write(drawn if isinstance(drawn, bytes) else drawn.encode())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
