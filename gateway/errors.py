"""How a refusal crosses the wire: RegieError <-> gRPC status with google.rpc.ErrorInfo and BadRequest."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from consent_ledger.errors import STATUS_OF, RegieError

DOMAIN = "regie"
DETAILS_KEY = "grpc-status-details-bin"


def to_status(error: RegieError) -> status_pb2.Status:
    """Return the google.rpc.Status of a refusal: ErrorInfo with its reason, BadRequest when a field is at fault."""
    code = grpc.StatusCode[error.status]
    status = status_pb2.Status(code=code.value[0], message=error.message)
    info = error_details_pb2.ErrorInfo(domain=DOMAIN, reason=error.reason)
    if error.row is not None:
        info.metadata["row"] = str(error.row)
    status.details.add().Pack(info)
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return status


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: RegieError) -> None:
    """End the call with the status of a refusal; always raises."""
    status = to_status(error)
    metadata = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(grpc.StatusCode[error.status], status.message, metadata)


def from_rpc(error: grpc.aio.AioRpcError, unavailable: str = "GATEWAY_UNAVAILABLE") -> RegieError:
    """Return the refusal that a failed call carries.

    A failure without our ErrorInfo never reached Regie's code at the other side: connection failures and passed
    deadlines become ``unavailable``, everything else INTERNAL. The text of an alien status is not repeated.
    """
    refusal = _carried(error)
    if refusal is not None:
        return refusal
    code = error.code()
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}:
        return RegieError(unavailable, f"no answer from the server ({code.name})")
    return RegieError("INTERNAL", f"the server answered {code.name} without saying why")


def _carried(error: grpc.aio.AioRpcError) -> RegieError | None:
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status.ParseFromString(value)
            except DecodeError:
                return None
    info, field = error_details_pb2.ErrorInfo(), ""
    for detail in status.details:
        bad = error_details_pb2.BadRequest()
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(bad.DESCRIPTOR) and detail.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
    if info.domain != DOMAIN or info.reason not in STATUS_OF:
        return None
    row = info.metadata.get("row", "")
    return RegieError(info.reason, status.message, field, int(row) if row.isdigit() else None)
