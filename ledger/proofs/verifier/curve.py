"""Who signed: the public key behind a signature on secp256k1 (SEC 1, section 4.1.6)."""

from ledger.proofs.verifier.errors import require

P = 2**256 - 2**32 - 977  # the field
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # the order of the group
Point = tuple[int, int, int]  # (X, Y, Z) is the point (X/Z, Y/Z) of y^2 = x^3 + 7
NEUTRAL: Point = (0, 1, 0)
GX = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798
GY = 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8
G: Point = (GX, GY, 1)


def recover(digest: bytes, parity: int, r: int, s: int) -> bytes:
    """Return the 64 bytes of the public key that signed; ``s`` is in the lower half (EIP-2)."""
    square = (pow(r, 3, P) + 7) % P
    root = pow(square, (P + 1) // 4, P)
    bounds = parity in (0, 1) and 0 < r < N and 0 < s <= N // 2
    require(bounds and root * root % P == square, "its signature is none")
    signed: Point = (r, root if root % 2 == parity else P - root, 1)
    inverse = pow(r, -1, N)
    x, y, z = _combined(-int.from_bytes(digest) * inverse % N, s * inverse % N, signed)
    require(z, "its signature is none")
    return b"".join((part * pow(z, -1, P) % P).to_bytes(32) for part in (x, y))


def _combined(factor: int, other_factor: int, other: Point) -> Point:
    """Return factor x G + other_factor x other, bit by bit of both from the top."""
    choices, total = (NEUTRAL, G, other, _add(G, other)), NEUTRAL
    for at in reversed(range(256)):
        chosen = (factor >> at & 1) + 2 * (other_factor >> at & 1)
        total = _add(_double(total), choices[chosen])
    return total


def _double(point: Point) -> Point:
    """Return twice a point; this and the next are complete formulas of Renes, Costello, Batina 2015."""
    x, y, z = point
    yy, zz, yz = y * y % P, 21 * z * z % P, y * z % P
    low = yy - 3 * zz
    return 2 * x * y * low % P, (low * (yy + zz) + 8 * yy * zz) % P, 8 * yy * yz % P


def _add(one: Point, other: Point) -> Point:
    """Return the sum of any two points."""
    (x1, y1, z1), (x2, y2, z2) = one, other
    xx, yy, zz = x1 * x2 % P, y1 * y2, 21 * z1 * z2
    xy, yz, xz = (x1 * y2 + x2 * y1) % P, (y1 * z2 + y2 * z1) % P, (x1 * z2 + x2 * z1) % P
    low, high = (yy - zz) % P, (yy + zz) % P
    x3, y3 = xy * low - 21 * yz * xz, high * low + 63 * xx * xz
    return x3 % P, y3 % P, (yz * high + 3 * xx * xy) % P
