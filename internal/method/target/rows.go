// Package target makes what a harness attacks of a model and data: sessions that answer
// alike, rows in the model's layout, and the domain in the same order.
package target

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/model"
)

// Rows is how records of a dataset become rows of a model.
type Rows struct {
	image   *method.Image
	order   []int // number i of a row is number order[i] of a record; nil where they are the same
	classes []int // the model's class of each class of the data
}

// NewRows fits records of a schema to a model. Images, which a dataset has as channels,
// height and width, are turned where the model takes channels last. Classes are matched by
// name, and by their order where the model has no names but numbers.
func NewRows(schema *dataset.Schema, m model.Description) (*Rows, error) {
	r := &Rows{image: method.ImageOf(m)}
	have, want := schema.RecordShape(), make([]int, len(m.Shape))
	for i, d := range m.Shape {
		want[i] = int(d)
	}
	switch {
	case schema.Width() != m.RowSize():
		return nil, fmt.Errorf("a record has %d numbers (shape %v), and the model takes %d (shape %v): give data that the model was made for, or the features that it does not take under drop in a schema",
			schema.Width(), have, m.RowSize(), want)
	case len(have) != 3 || len(want) != 3 || m.Layout == model.NCHW && slices.Equal(have, want):
		// The numbers are in a row, or arranged alike.
	case m.Layout == model.NHWC && slices.Equal([]int{have[1], have[2], have[0]}, want):
		r.order = channelsLast(have)
	default:
		return nil, fmt.Errorf("the records are images of %d channels, height %d and width %d, and the model takes images of shape %v (%s): give the shape of the data in a schema",
			have[0], have[1], have[2], want, m.Layout)
	}
	return r, r.match(schema.Label.Classes, m.Classes[:m.Labels()])
}

func channelsLast(shape []int) []int {
	channels, places := shape[0], shape[1]*shape[2]
	order := make([]int, channels*places)
	for i := range order {
		order[i] = i%channels*places + i/channels
	}
	return order
}

// match finds the model's class of each class of the data.
func (r *Rows) match(data, of []string) error {
	unknown := ""
	for _, name := range data {
		k := slices.Index(of, name)
		if k < 0 && unknown == "" {
			unknown = name
		}
		r.classes = append(r.classes, k)
	}
	if unknown == "" {
		return nil
	}
	for i, name := range of {
		if name != strconv.Itoa(i) {
			return fmt.Errorf("the data have the class %q, and the model has %q: give data with the model's classes", unknown, of)
		}
	}
	if len(data) != len(of) {
		return fmt.Errorf("the data have %d classes (%s), and the model has %d: the label %q is none of 0 to %d; give data with the model's classes",
			len(data), some(data), len(of), unknown, len(of)-1)
	}
	for i := range r.classes {
		r.classes[i] = i
	}
	return nil
}

// some names the first few of a list.
func some(names []string) string {
	if len(names) > 5 {
		return fmt.Sprintf("%q and %d more", names[:5], len(names)-5)
	}
	return fmt.Sprintf("%q", names)
}

// Row gives a record as a row of the model.
func (r *Rows) Row(record []float32) []float32 { return arranged(r.order, record) }

// Record gives a row of the model as a record.
func (r *Rows) Record(row []float32) []float32 {
	out := slices.Clone(row)
	for i, from := range r.order {
		out[from] = row[i]
	}
	return out
}

// Inputs gives the records of a dataset at some indices as units, which they number.
func (r *Rows) Inputs(d *dataset.Dataset, indices []int) []method.Input {
	out := make([]method.Input, len(indices))
	for k, i := range indices {
		out[k] = method.Input{Index: int64(i), X: r.Row(d.Record(i)), Label: r.classes[d.Y[i]]}
	}
	return out
}

// Domain gives a domain of records for rows.
func (r *Rows) Domain(d *method.Domain) *method.Domain {
	if r.order == nil {
		whole := *d
		whole.Image = r.image
		return &whole
	}
	return &method.Domain{ // images have neither groups nor relations
		Image: r.image,
		Low:   arranged(r.order, d.Low), High: arranged(r.order, d.High), Scale: arranged(r.order, d.Scale),
		Fixed: arranged(r.order, d.Fixed), Integer: arranged(r.order, d.Integer),
		Monotone: arranged(r.order, d.Monotone), Cost: arranged(r.order, d.Cost),
	}
}

func arranged[T any](order []int, values []T) []T {
	if order == nil || values == nil {
		return values
	}
	out := make([]T, len(values))
	for i, from := range order {
		out[i] = values[from]
	}
	return out
}

// Misfit says in a sentence how the range of data does not fit that which a model
// seems to expect, empty where it does. It can be wrong, as that range is mostly a guess.
func Misfit(d *dataset.Dataset, m model.Description) string {
	if math.IsInf(m.Range.Low, 0) || math.IsInf(m.Range.High, 0) || len(d.X) == 0 {
		return ""
	}
	low, high := float64(slices.Min(d.X)), float64(slices.Max(d.X))
	width := m.Range.High - m.Range.Low
	if low >= m.Range.Low-width && high <= m.Range.High+width && high-low > width/100 {
		return ""
	}
	return fmt.Sprintf("the data hold numbers from %g to %g, and the model seems to expect %g to %g (%s): if it does, scale the data",
		low, high, m.Range.Low, m.Range.High, m.Range.Basis)
}
