package ort

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"assay/internal/model"
	"assay/onnx"
)

// probe runs one row to learn what the model leaves open.
func (c *Classifier) probe(ctx context.Context) error {
	r := c.recognised
	row := make([]float64, r.RowSize())
	if middle := (r.Range.Low + r.Range.High) / 2; !math.IsNaN(middle) && !math.IsInf(middle, 0) {
		for i := range row {
			row[i] = middle
		}
	}
	var result []int64 // as far as it must be known before
	if elements[r.Element] == nil && r.Columns > 0 {
		result = []int64{int64(r.Columns)}
	}
	out, err := (&worker{classifier: c}).run(ctx, row, result)
	if err != nil {
		return err
	}
	c.result = slices.Clone(out.Shape[1:])
	columns, ok := onnx.Count(c.result)
	switch {
	case r.Output == model.Labels && columns == 1:
		return nil
	case !ok || columns > model.MaxClasses || r.Output == model.Labels:
		return fmt.Errorf("%s: its output for one row has shape %v, which is not one score for each class", c.session.name, c.result)
	}
	if err := r.SetColumns(int(columns)); err != nil {
		return fmt.Errorf("%s: %w", c.session.name, err)
	}
	if r.Output != model.UnknownOutput {
		return nil
	}
	scores, err := numbers(out)
	if err != nil {
		return fmt.Errorf("%s: %w", c.session.name, err)
	}
	r.Output = model.Logits
	if scores = scores[:columns]; model.SumToOne(scores) {
		r.Output = model.Probabilities
	}
	return nil
}

// read writes the scores of a batch's rows, of which the output may have more.
func (c *Classifier) read(out *Tensor, scores []float64) error {
	r := c.recognised
	if r.Output == model.Labels {
		return c.readLabels(out, scores)
	}
	if r.Columns > 1 {
		return getNumbers(scores, out)
	}
	n := len(scores) / 2
	second := scores[n:]
	if err := getNumbers(second, out); err != nil {
		return err
	}
	for i, score := range second {
		scores[2*i], scores[2*i+1] = model.Both(score, r.Output)
	}
	return nil
}

func (c *Classifier) readLabels(out *Tensor, scores []float64) error {
	classes := c.recognised.Classes
	clear(scores)
	for row := range len(scores) / len(classes) {
		var label string
		switch out.Type {
		case onnx.String:
			label = out.Strings()[row]
		case onnx.Int64:
			label = strconv.FormatInt(Data[int64](out)[row], 10)
		case onnx.Int32:
			label = strconv.Itoa(int(Data[int32](out)[row]))
		}
		class := model.ClassOf(label, out.Type != onnx.String, classes)
		if class < 0 {
			return fmt.Errorf("%s: it gave the label %q, which is none of its classes", c.session.name, label)
		}
		scores[row*len(classes)+class] = 1
	}
	return nil
}

// numbers gives all of a tensor's numbers.
func numbers(t *Tensor) ([]float64, error) {
	list := make([]float64, t.Len())
	return list, getNumbers(list, t)
}

// getNumbers reads as many numbers as there is room for.
func getNumbers(to []float64, t *Tensor) error {
	switch t.Type {
	case onnx.Float32:
		widen(to, Data[float32](t), func(x float32) float64 { return float64(x) })
	case onnx.Float64:
		copy(to, Data[float64](t))
	case onnx.Float16:
		widen(to, Data[uint16](t), func(x uint16) float64 { return float64(onnx.Float16ToFloat32(x)) })
	case onnx.BFloat16:
		widen(to, Data[uint16](t), func(x uint16) float64 { return float64(onnx.BFloat16ToFloat32(x)) })
	default:
		return errors.New("its scores are " + t.Type.String() + ", not floating-point numbers")
	}
	return nil
}

func widen[T any](to []float64, from []T, number func(T) float64) {
	for i := range to {
		to[i] = number(from[i])
	}
}
