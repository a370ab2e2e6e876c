"""Which part of a traceback is the task's own."""

from pathlib import Path
from traceback import format_exception
from types import TracebackType

from celery.app import trace

TRACERS = (trace.__file__, str(Path(__file__).with_name("plain.py")))


def own_traceback(error: BaseException) -> str:
    """The text of a traceback from the task's first frame on: the tracer's tell nobody anything, and take half of the
    time to format."""
    return "".join(format_exception(type(error), error, _own_frames(error)))


def _own_frames(error: BaseException) -> TracebackType | None:
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename in TRACERS:
        frame = frame.tb_next
    return frame or error.__traceback__
