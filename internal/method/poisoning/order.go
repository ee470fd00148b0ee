package poisoning

import (
	"encoding/binary"
	"math"
	"slices"
)

// median gives the middle of values, the mean of both where they are even in number.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratio is a/b, 0 where both are 0, and large where only b is.
func ratio(a, b float64) float64 {
	switch {
	case a == 0:
		return 0
	case b == 0:
		return math.MaxFloat64
	}
	return a / b
}

// key is the content of a row. -0 is 0.
func key(row []float32) string {
	content := make([]byte, 0, 4*len(row))
	for _, v := range row {
		content = binary.LittleEndian.AppendUint32(content, math.Float32bits(v+0))
	}
	return string(content)
}
