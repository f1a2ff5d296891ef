"""The contract of `leaf.wit` in Python.

    componentize-py -d leaf.wit -w leaf componentize -p python leaf -o leaf.wasm
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.shapes import Drawing, Refusal, Shape


class Shapes(exports.Shapes):
    def echo_record(self, value: Drawing) -> Drawing:
        return value

    def echo_list(self, value: list[int]) -> list[int]:
        return value

    def echo_option(self, value: int | None) -> int | None:
        return value

    def echo_variant(self, value: Shape) -> Shape:
        return value

    def echo_bytes(self, value: bytes) -> bytes:
        return value

    def fail(self, code: int, message: str) -> None:
        raise Err(Refusal(code, message))

    def trap(self) -> None:
        raise RuntimeError("a leaf has broken down")
