package remote

import (
	"encoding/binary"
	"fmt"
	"math"

	"assay/internal/model/remote/internal/inference"
	"assay/onnx"
)

// contents are numbers in the field that is theirs by the protocol.
func contents(name string, values []float64) *inference.InferTensorContents {
	d, c := datatypes[name], &inference.InferTensorContents{}
	for _, x := range values {
		switch name {
		case "FP32":
			c.Fp32Contents = append(c.Fp32Contents, float32(x))
		case "FP64":
			c.Fp64Contents = append(c.Fp64Contents, x)
		case "INT64":
			c.Int64Contents = append(c.Int64Contents, d.integer(x))
		case "INT8", "INT16", "INT32":
			c.IntContents = append(c.IntContents, int32(d.integer(x)))
		default:
			c.UintContents = append(c.UintContents, uint32(d.integer(x)))
		}
	}
	return c
}

// readInfer reads one output of an answer: that of a name, or the only one.
func readInfer(res *inference.ModelInferResponse, name string, limit int) (answer, error) {
	names := make([]string, len(res.Outputs))
	for i, out := range res.Outputs {
		names[i] = out.Name
	}
	i, err := chooseOutput(names, name)
	if err != nil {
		return answer{}, err
	}
	out := res.Outputs[i]
	if len(out.Shape) > maxDepth {
		return answer{}, fmt.Errorf("output %q has %d dimensions, more than %d", out.Name, len(out.Shape), maxDepth)
	}
	var a answer
	if len(res.RawOutputContents) > 0 {
		if i >= len(res.RawOutputContents) {
			return answer{}, fmt.Errorf("it has %d outputs and raw contents for %d", len(res.Outputs), len(res.RawOutputContents))
		}
		a, err = readRaw(out.Datatype, res.RawOutputContents[i], limit)
	} else {
		a, err = readContents(out.Datatype, out.Contents)
	}
	if err != nil {
		return answer{}, fmt.Errorf("output %q %w", out.Name, err)
	}
	if n := len(a.numbers) + len(a.texts); n > limit {
		return answer{}, fmt.Errorf("output %q has %d values, and at most %d were asked for", out.Name, n, limit)
	}
	a.shape = out.Shape
	return a, nil
}

func readContents(datatype string, c *inference.InferTensorContents) (answer, error) {
	switch datatype {
	case "FP32":
		return answer{numbers: widen(c.GetFp32Contents())}, nil
	case "FP64":
		return answer{numbers: c.GetFp64Contents()}, nil
	case "INT64":
		return answer{numbers: widen(c.GetInt64Contents())}, nil
	case "INT8", "INT16", "INT32":
		return answer{numbers: widen(c.GetIntContents())}, nil
	case "UINT8", "UINT16", "UINT32":
		return answer{numbers: widen(c.GetUintContents())}, nil
	case "UINT64":
		return answer{numbers: widen(c.GetUint64Contents())}, nil
	case "BOOL":
		var a answer
		for _, v := range c.GetBoolContents() {
			a.texts = append(a.texts, fmt.Sprint(v))
		}
		return a, nil
	case "BYTES":
		var a answer
		for _, v := range c.GetBytesContents() {
			a.texts = append(a.texts, string(v))
		}
		return a, nil
	}
	return answer{}, unknownType(datatype)
}

func unknownType(datatype string) error {
	return fmt.Errorf("is of the type %.40q, which is none of scores or labels", datatype)
}

func widen[T float32 | int32 | int64 | uint32 | uint64](from []T) []float64 {
	to := make([]float64, len(from))
	for i, v := range from {
		to[i] = float64(v)
	}
	return to
}

// rawTypes read one value from its bytes, in little-endian order.
var rawTypes = map[string]struct {
	size int
	read func([]byte) float64
}{
	"FP16":   {2, func(b []byte) float64 { return float64(onnx.Float16ToFloat32(binary.LittleEndian.Uint16(b))) }},
	"BF16":   {2, func(b []byte) float64 { return float64(onnx.BFloat16ToFloat32(binary.LittleEndian.Uint16(b))) }},
	"FP32":   {4, func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }},
	"FP64":   {8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }},
	"INT8":   {1, func(b []byte) float64 { return float64(int8(b[0])) }},
	"INT16":  {2, func(b []byte) float64 { return float64(int16(binary.LittleEndian.Uint16(b))) }},
	"INT32":  {4, func(b []byte) float64 { return float64(int32(binary.LittleEndian.Uint32(b))) }},
	"INT64":  {8, func(b []byte) float64 { return float64(int64(binary.LittleEndian.Uint64(b))) }},
	"UINT8":  {1, func(b []byte) float64 { return float64(b[0]) }},
	"UINT16": {2, func(b []byte) float64 { return float64(binary.LittleEndian.Uint16(b)) }},
	"UINT32": {4, func(b []byte) float64 { return float64(binary.LittleEndian.Uint32(b)) }},
	"UINT64": {8, func(b []byte) float64 { return float64(binary.LittleEndian.Uint64(b)) }},
}

// readRaw reads the raw form of a tensor: values one after the other, and texts with a
// length of four bytes before each.
func readRaw(datatype string, data []byte, limit int) (answer, error) {
	if datatype == "BYTES" {
		return readRawTexts(data, limit)
	}
	t, ok := rawTypes[datatype]
	if !ok {
		return answer{}, unknownType(datatype)
	}
	n := len(data) / t.size
	if n*t.size != len(data) || n > limit {
		return answer{}, fmt.Errorf("has %d bytes of %s, which are no whole values or more than the %d that were asked for", len(data), datatype, limit)
	}
	a := answer{numbers: make([]float64, n)}
	for i := range a.numbers {
		a.numbers[i] = t.read(data[i*t.size:])
	}
	return a, nil
}

func readRawTexts(data []byte, limit int) (answer, error) {
	var a answer
	for len(data) > 0 {
		if len(a.texts) == limit {
			return answer{}, fmt.Errorf("has more than the %d texts that were asked for", limit)
		}
		if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
			return answer{}, fmt.Errorf("has a text that ends too early")
		}
		end := 4 + int(binary.LittleEndian.Uint32(data))
		a.texts = append(a.texts, string(data[4:end]))
		data = data[end:]
	}
	return a, nil
}
