#!/usr/bin/env python3
"""etcd_txn.py: gRPC messages of transactions that etcdctl cannot ask for, on stdout: all-equal, twice.

Source: etcd v3 API, rpc.proto (TxnRequest, Compare.range_end, RequestOp.request_txn).
"""
import struct
import sys


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def put(key, value):
    return field(2, field(1, key) + field(2, value))


def txn(compares=(), success=(), failure=()):
    parts = [field(1, c) for c in compares] + [field(2, op) for op in success] + [field(3, op) for op in failure]
    return b"".join(parts)


def inside(request):
    return field(4, request)


# Compare: result EQUAL, target VALUE, key, value, range_end.
all_are_one = field(2, 3) + field(3, b"/range/") + field(7, b"1") + field(64, b"/range0")
requests = {
    "all-equal": txn(success=[inside(txn([all_are_one], [put(b"/range-answer", b"all were one")],
                                         [put(b"/range-answer", b"not all were one")]))]),
    "twice": txn(success=[put(b"x", b"1"), inside(txn(success=[put(b"x", b"2")]))]),
}
message = requests[sys.argv[1]]
sys.stdout.buffer.write(struct.pack(">BI", 0, len(message)) + message)
