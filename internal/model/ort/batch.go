package ort

import (
	"context"
	"fmt"
	"math"
	"slices"

	"assay/internal/model"
	"assay/onnx"
)

// worker has the memory for one batch at a time.
type worker struct {
	classifier *Classifier
	inputs     []*Tensor // of a whole batch, in the order of the model's inputs
	output     *Tensor   // likewise, once the output's shape is known
	columns    []float64 // of one input, where there are several
	draws      []uint64  // of the rows, nil for draw 0
}

// run gives the model's output for at most a batch of rows, in memory that the next
// run overwrites. Result is the shape of a row's output, nil where it is not known.
func (w *worker) run(ctx context.Context, rows []float64, result []int64) (*Tensor, error) {
	c := w.classifier
	r := c.recognised
	taken := len(rows) / r.RowSize()
	if r.Batch > 0 {
		taken = r.Batch
	}
	inputs, err := w.fill(rows, taken)
	if err != nil {
		return nil, err
	}
	outputs := []*Tensor{nil}
	if result != nil {
		if w.output == nil {
			if w.output, err = Empty(r.Element, append([]int64{int64(c.batch)}, result...)...); err != nil {
				return nil, fmt.Errorf("%s: %w", c.session.name, err)
			}
		}
		outputs[0] = w.output.head(taken)
	}
	if err := c.session.Run(ctx, inputs, outputs); err != nil {
		return nil, err
	}
	if s := outputs[0].Shape; len(s) == 0 || s[0] != int64(taken) {
		return nil, fmt.Errorf("%s: %d rows gave an output of shape %v, which is not one result a row", c.session.name, taken, s)
	}
	return outputs[0], nil
}

// fill writes rows into the inputs' memory. A model of a fixed batch has its
// missing rows filled with the last one.
func (w *worker) fill(rows []float64, taken int) ([]*Tensor, error) {
	c := w.classifier
	r := c.recognised
	n := len(rows) / r.RowSize()
	if w.inputs == nil {
		for _, in := range r.Inputs {
			t, err := Empty(in.Element, append([]int64{int64(c.batch)}, in.Shape...)...)
			if err != nil {
				return nil, fmt.Errorf("%s: input %q: %w", c.session.name, in.Name, err)
			}
			w.inputs = append(w.inputs, t)
		}
		for _, in := range r.Random {
			t, err := Empty(onnx.Float32, append([]int64{int64(c.batch)}, in.Shape...)...)
			if err != nil {
				return nil, fmt.Errorf("%s: input %q: %w", c.session.name, in.Input, err)
			}
			w.inputs = append(w.inputs, t)
		}
	}
	inputs := make([]*Tensor, len(r.Inputs))
	column := 0
	for i, in := range r.Inputs {
		part := rows
		if len(r.Inputs) > 1 {
			w.columns = w.columns[:0]
			for row := range n {
				at := row*r.RowSize() + column
				w.columns = append(w.columns, rows[at:at+in.Size]...)
			}
			part = w.columns
		}
		inputs[i] = w.inputs[i].head(taken)
		setNumbers(inputs[i], part)
		raw := inputs[i].raw
		rowBytes := len(raw) / taken
		for row := n; row < taken; row++ {
			copy(raw[row*rowBytes:], raw[(n-1)*rowBytes:n*rowBytes])
		}
		column += in.Size
	}
	for i, in := range r.Random {
		t := w.inputs[len(r.Inputs)+i].head(taken)
		w.drawInto(Data[float32](t), rows, in)
		inputs = append(inputs, t)
	}
	return inputs, nil
}

// drawInto writes the random numbers of rows for one input, those of the last row for what is filled up.
func (w *worker) drawInto(to []float32, rows []float64, in model.Source) {
	size := w.classifier.recognised.RowSize()
	n := len(rows) / size
	for row := 0; row*in.Size < len(to); row++ {
		draw, of := uint64(0), min(row, n-1)
		if w.draws != nil {
			draw = w.draws[of]
		}
		in.Fill(to[row*in.Size:(row+1)*in.Size], model.KeyOf(rows[of*size:(of+1)*size], draw))
	}
}

// head is the tensor of the first rows, over the same memory.
func (t *Tensor) head(rows int) *Tensor {
	h := *t
	h.Shape = slices.Clone(t.Shape)
	h.Shape[0] = int64(rows)
	if t.Type == onnx.String {
		h.strings = t.strings[:h.Len()]
	} else {
		h.raw = t.raw[:t.Type.ByteSize(h.Len())]
	}
	return &h
}

// setNumbers writes numbers into a tensor, rounded to its type.
func setNumbers(t *Tensor, from []float64) {
	switch t.Type {
	case onnx.Float32:
		convert(Data[float32](t), from, func(x float64) float32 { return float32(x) })
	case onnx.Float64:
		copy(Data[float64](t), from)
	case onnx.Float16:
		convert(Data[uint16](t), from, func(x float64) uint16 { return onnx.Float32ToFloat16(float32(x)) })
	case onnx.BFloat16:
		convert(Data[uint16](t), from, func(x float64) uint16 { return onnx.Float32ToBFloat16(float32(x)) })
	case onnx.Int64:
		convert(Data[int64](t), from, nearest[int64](math.MinInt64, math.MaxInt64))
	case onnx.Int32:
		convert(Data[int32](t), from, nearest[int32](math.MinInt32, math.MaxInt32))
	case onnx.Int16:
		convert(Data[int16](t), from, nearest[int16](math.MinInt16, math.MaxInt16))
	case onnx.Int8:
		convert(Data[int8](t), from, nearest[int8](math.MinInt8, math.MaxInt8))
	case onnx.Uint8:
		convert(Data[uint8](t), from, nearest[uint8](0, math.MaxUint8))
	case onnx.Uint16:
		convert(Data[uint16](t), from, nearest[uint16](0, math.MaxUint16))
	case onnx.Bool:
		convert(Data[bool](t), from, func(x float64) bool { return x != 0 })
	}
}

func convert[T any](to []T, from []float64, round func(float64) T) {
	for i, x := range from {
		to[i] = round(x)
	}
}

// nearest rounds to the nearest integer between low and high, NaN to 0.
func nearest[T int8 | int16 | int32 | int64 | uint8 | uint16](low, high T) func(float64) T {
	return func(x float64) T {
		switch x = math.RoundToEven(x); {
		case math.IsNaN(x):
			return 0
		case x <= float64(low):
			return low
		case x >= float64(high):
			return high
		}
		return T(x)
	}
}
