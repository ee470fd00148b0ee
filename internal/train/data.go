package train

import (
	"errors"
	"fmt"
	"math"

	"assay/internal/dataset"
	"assay/onnx"
)

// Data are the examples that a model is trained on. It is not changed.
type Data struct {
	X       []float32 // the examples' inputs one after the other, in the model's units
	Shape   []int     // of one example's input
	Classes []int32   // each example's class; nil for regression
	Targets []float32 // for regression: the numbers that the model's output is to be, as many for each example
	Weights []float32 // how much each example counts, 0 or more; nil for all the same
}

// FromDataset gives the records of a dataset and their classes, over its memory.
func FromDataset(d *dataset.Dataset) *Data {
	return &Data{X: d.X, Shape: d.Schema.RecordShape(), Classes: d.Y}
}

// ForModel gives the records of a dataset as a model takes them: those of images, too, in a row where it takes rows. Images
// that it takes in another arrangement are an error.
func ForModel(m *onnx.Model, d *dataset.Dataset) (*Data, error) {
	data := FromDataset(d)
	free := m.Graph.FreeInputs()
	if len(free) != 1 {
		return nil, fmt.Errorf("the model has %d inputs, and only models with one can be trained", len(free))
	}
	shape := free[0].Type.Shape
	if len(shape) == 2 {
		data.Shape = []int{d.Schema.Width()}
		return data, nil
	}
	for i, size := range shape[min(1, len(shape)):] {
		if len(data.Shape) != len(shape)-1 || size.Known() && size.Size != int64(data.Shape[i]) {
			return nil, fmt.Errorf("the records have the shape %v, and the model takes %s: give data in its shape, or a model that takes that of the data", data.Shape, free[0].Type)
		}
	}
	return data, nil
}

// Len is the number of examples.
func (d *Data) Len() int {
	if width := d.width(); width > 0 {
		return len(d.X) / width
	}
	return 0
}

// width is the number of values of one example's input.
func (d *Data) width() int {
	n := 1
	for _, size := range d.Shape {
		n *= size
	}
	return n
}

// targets is the number of values that each example's target has.
func (d *Data) targets() int { return len(d.Targets) / max(d.Len(), 1) }

// check reports what keeps the data from being trained on.
func (d *Data) check() error {
	n, width := d.Len(), d.width()
	switch {
	case n == 0 || width <= 0:
		return errors.New("there are no examples to train on")
	case len(d.X) != n*width:
		return fmt.Errorf("%d values are not a whole number of examples of shape %v", len(d.X), d.Shape)
	case (d.Classes == nil) == (d.Targets == nil):
		return errors.New("the examples need classes, or for regression targets, and not both")
	case d.Classes != nil && len(d.Classes) != n:
		return fmt.Errorf("there are %d classes for %d examples", len(d.Classes), n)
	case d.Targets != nil && (len(d.Targets)%n != 0 || len(d.Targets) == 0):
		return fmt.Errorf("%d numbers are no targets for %d examples", len(d.Targets), n)
	case d.Weights != nil && len(d.Weights) != n:
		return fmt.Errorf("there are %d weights for %d examples", len(d.Weights), n)
	}
	for i, x := range d.X {
		if v := float64(x); math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("example %d has the value %v: fill or remove it", i/width+1, v)
		}
	}
	for i, x := range d.Targets {
		if v := float64(x); math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("example %d has the target %v: fill or remove it", i/d.targets()+1, v)
		}
	}
	return d.checkWeights()
}

func (d *Data) checkWeights() error {
	if d.Weights == nil {
		return nil
	}
	sum := 0.0
	for i, w := range d.Weights {
		if !(w >= 0 && w <= math.MaxFloat32) {
			return fmt.Errorf("example %d has the weight %v: weights are 0 or more", i+1, w)
		}
		sum += float64(w)
	}
	if sum == 0 {
		return errors.New("all examples have the weight 0: nothing is left to train on")
	}
	return nil
}

// checkClasses reports classes that the model does not have.
func (d *Data) checkClasses(classes int) error {
	for i, c := range d.Classes {
		if c < 0 || int(c) >= classes {
			return fmt.Errorf("example %d is of class %d, and the model has %d classes, from 0: train a model with as many classes as the data", i+1, c, classes)
		}
	}
	return nil
}

// meanWeight is what weights are divided by, so that they do not change how fast
// a model learns.
func (d *Data) meanWeight() float64 {
	if d.Weights == nil {
		return 1
	}
	sum := 0.0
	for _, w := range d.Weights {
		sum += float64(w)
	}
	return sum / float64(len(d.Weights))
}

// weight is that of one example.
func (d *Data) weight(i int) float32 {
	if d.Weights == nil {
		return 1
	}
	return d.Weights[i]
}
