package onnx

import "math"

// Float16ToFloat32 widens an IEEE 754 half; every half is a float32.
func Float16ToFloat32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 0x1f
	frac := uint32(h & 0x3ff)
	switch exp {
	case 0:
		v := math.Ldexp(float64(frac), -24)
		if sign != 0 {
			v = math.Copysign(v, -1)
		}
		return float32(v)
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// Float32ToFloat16 rounds to the nearest half, ties to even.
func Float32ToFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	abs := b &^ (1 << 31)
	switch {
	case abs > 0x7f800000:
		return sign | 0x7e00
	case abs >= 0x47800000: // 65536 and above, and infinity
		return sign | 0x7c00
	case abs < 0x38800000: // below the smallest normal half: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(math.Ldexp(float64(math.Float32frombits(abs)), 24)))
	}
	rounded := abs + 0xfff + (abs>>13)&1
	return sign | uint16((rounded-0x38000000)>>13)
}

// Float64ToFloat16 rounds to the nearest half, ties to even.
func Float64ToFloat16(v float64) uint16 { return Float32ToFloat16(roundToOdd(v)) }

// Float64ToBFloat16 rounds to the nearest bfloat16, ties to even.
func Float64ToBFloat16(v float64) uint16 { return Float32ToBFloat16(roundToOdd(v)) }

// roundToOdd gives the float32 next to v that has an odd fraction, or v itself.
// Rounded on to fewer bits it gives what rounding v at once would (Boldo and
// Melquiond, "When double rounding is odd", 2005); the nearest float32 may not.
func roundToOdd(v float64) float32 {
	f := float32(v)
	if float64(f) == v || v != v {
		return f
	}
	bits := math.Float32bits(f)
	if math.Abs(float64(f)) > math.Abs(v) {
		bits-- // toward zero, by one
	}
	return math.Float32frombits(bits | 1)
}

// BFloat16ToFloat32 widens a bfloat16; every one is a float32.
func BFloat16ToFloat32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// Float32ToBFloat16 rounds to the nearest bfloat16, ties to even.
func Float32ToBFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	if f != f {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + (b>>16)&1) >> 16)
}
