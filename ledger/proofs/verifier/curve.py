"""Who signed: the public key behind a signature on secp256k1 (SEC 1, section 4.1.6).

Nothing secret passes through here, so that plain integers may be used. Points are Jacobian: (X, Y, Z)
stands for x = X / Z^2 and y = Y / Z^3, so that one division is made at the end.
"""

from __future__ import annotations

P = 2**256 - 2**32 - 977
"""The field."""
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of the group."""
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
Point = tuple[int, int, int]
NEUTRAL: Point = (0, 1, 0)


def recover(digest: bytes, parity: int, r: int, s: int) -> bytes | None:
    """Return the 64 bytes of the public key, or None when the signature is none.

    ``s`` lies in the lower half of the group, as Ethereum asks since Homestead (EIP-2).
    """
    if parity not in (0, 1) or not 0 < r < N or not 0 < s <= N // 2:
        return None
    square = (pow(r, 3, P) + 7) % P
    y = pow(square, (P + 1) // 4, P)
    if y * y % P != square:
        return None
    if y % 2 != parity:
        y = P - y
    inverse = pow(r, -1, N)
    hashed = int.from_bytes(digest, "big")
    point = _sum_of_products((*G, 1), -hashed * inverse % N, (r, y, 1), s * inverse % N)
    if point[2] == 0:
        return None
    scale = pow(point[2], -1, P)
    x, y = point[0] * scale**2 % P, point[1] * scale**3 % P
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _sum_of_products(one: Point, factor: int, other: Point, other_factor: int) -> Point:
    """Return factor x one + other_factor x other, bit by bit of both."""
    choices = (NEUTRAL, one, other, _add(one, other))
    total = NEUTRAL
    for place in range(max(factor.bit_length(), other_factor.bit_length()) - 1, -1, -1):
        total = _double(total)
        chosen = (factor >> place & 1) + 2 * (other_factor >> place & 1)
        if chosen:
            total = _add(total, choices[chosen])
    return total


def _double(point: Point) -> Point:
    x, y, z = point
    y2 = y * y % P
    s = 4 * x * y2 % P
    m = 3 * x * x % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * y2 * y2) % P, 2 * y * z % P


def _add(one: Point, other: Point) -> Point:
    if one[2] == 0 or other[2] == 0:
        return other if one[2] == 0 else one
    z1, z2 = one[2] * one[2] % P, other[2] * other[2] % P
    u1, u2 = one[0] * z2 % P, other[0] * z1 % P
    s1, s2 = one[1] * z2 * other[2] % P, other[1] * z1 * one[2] % P
    if u1 == u2:
        return _double(one) if s1 == s2 else NEUTRAL
    h, r = u2 - u1, s2 - s1
    h2 = h * h % P
    h3, v = h * h2 % P, u1 * h2 % P
    x3 = (r * r - h3 - 2 * v) % P
    return x3, (r * (v - x3) - s1 * h3) % P, h * one[2] * other[2] % P
