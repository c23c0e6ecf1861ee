"""What a report must look like before a page shows it: a signature says who made it, not that it is well made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from consent_ledger.errors import RegieError

_Count = Annotated[int, Field(ge=0, le=2**62)]
_Text = Annotated[str, Field(max_length=2_000)]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Rule(_Shape):
    rule: _Text
    result: _Text


class _Judgement(_Shape):
    reason: _Text
    decided_by: list[_Count]
    rules: list[_Rule]


class _Finding(_Shape):
    index: _Count
    kind: _Text
    verdict: Literal["match", "mismatch", "erased", "unopenable"]
    why: _Text


class _Difference(_Finding):
    recorded: _Judgement
    expected: _Judgement


class _Same(_Finding):
    recorded: None = None
    expected: None = None


class _Replay(_Shape):
    kind: Literal["replay"]
    size: _Count
    root: _Text
    witnessed_size: _Count | None
    start: _Count = Field(alias="from")
    stop: _Count = Field(alias="to")
    match: _Count
    mismatch: _Count
    erased: _Count
    unopenable: _Count
    chains: _Count
    chains_with_gap: _Count
    by_kind: dict[_Text, dict[_Text, _Count]]
    findings: list[_Difference | _Same]
    findings_left_out: _Count


_SHAPE: TypeAdapter[_Replay] = TypeAdapter(_Replay)


def require_replay(report: dict[str, Any]) -> None:
    """Check that a report is one of a replay, with what a page shows of it; raises RegieError FIELD_INVALID."""
    try:
        _SHAPE.validate_python(report)
    except ValidationError:
        raise RegieError("FIELD_INVALID", "this report has another form than a replay's") from None
