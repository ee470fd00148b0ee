package remote

import (
	"maps"
	"math"
	"slices"
	"strconv"
)

// datatype is how the numbers of an input are rounded and written.
type datatype struct {
	bits      int // of a float, 0 for an integer
	low, high float64
}

// datatypes are those that can be sent, in the Open Inference Protocol's words.
var datatypes = map[string]datatype{
	"FP32":   {bits: 32},
	"FP64":   {bits: 64},
	"INT8":   {low: math.MinInt8, high: math.MaxInt8},
	"INT16":  {low: math.MinInt16, high: math.MaxInt16},
	"INT32":  {low: math.MinInt32, high: math.MaxInt32},
	"INT64":  {low: math.MinInt64, high: math.MaxInt64},
	"UINT8":  {high: math.MaxUint8},
	"UINT16": {high: math.MaxUint16},
	"UINT32": {high: math.MaxUint32},
}

func datatypeNames() []string { return slices.Sorted(maps.Keys(datatypes)) }

// takes tells whether a number can be sent: none is that is not finite as the type has
// it, since JSON has no other numbers.
func (d datatype) takes(x float64) bool {
	if d.bits == 32 {
		x = float64(float32(x))
	}
	return !math.IsNaN(x) && !math.IsInf(x, 0)
}

// integer rounds to the nearest integer that the type has, as a model on this machine
// would (package ort).
func (d datatype) integer(x float64) int64 {
	switch x = math.RoundToEven(x); {
	case x <= d.low:
		return int64(d.low)
	case x >= d.high && d.high > math.MaxUint32:
		return math.MaxInt64 // which float64 does not have
	case x >= d.high:
		return int64(d.high)
	}
	return int64(x)
}

// appendJSON writes a number, rounded to the type.
func (d datatype) appendJSON(b []byte, x float64) []byte {
	if d.bits == 0 {
		return strconv.AppendInt(b, d.integer(x), 10)
	}
	return strconv.AppendFloat(b, x, 'g', -1, d.bits)
}

// rounded gives a number as the type has it.
func (d datatype) rounded(x float64) float64 {
	switch d.bits {
	case 64:
		return x
	case 32:
		return float64(float32(x))
	}
	return float64(d.integer(x))
}

// appendNested writes rows as arrays in arrays of a shape, whose product is the number
// of values.
func (d datatype) appendNested(b []byte, shape []int64, values []float64) []byte {
	if len(shape) == 0 {
		return d.appendJSON(b, values[0])
	}
	b = append(b, '[')
	size := len(values) / int(shape[0])
	for i := range int(shape[0]) {
		if i > 0 {
			b = append(b, ',')
		}
		b = d.appendNested(b, shape[1:], values[i*size:(i+1)*size])
	}
	return append(b, ']')
}
