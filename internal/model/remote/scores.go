package remote

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"assay/internal/model"
	"assay/onnx"
)

// check verifies that an answer is whole: n rows, as many values as its shape says,
// all of them finite.
func (a answer) check(n int) error {
	values := len(a.numbers) + len(a.texts)
	size, ok := onnx.Count(a.shape)
	switch {
	case !ok || size != int64(values):
		return fmt.Errorf("it has %d values, which do not fit its shape %v", values, a.shape)
	case len(a.shape) == 0 && n == 1:
	case len(a.shape) == 0 || a.shape[0] != int64(n):
		return fmt.Errorf("it has the shape %v, which is not one row for each of the %d that were asked about", a.shape, n)
	}
	for i, v := range a.numbers {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("value %d of row %d is %g, which is no score", i%(values/n), i/(values/n), v)
		}
	}
	if values%n != 0 || values == 0 {
		return fmt.Errorf("it has %d values for %d rows", values, n)
	}
	return nil
}

// setColumns takes over how many values there are for a row.
func (c *Classifier) setColumns(n int) error {
	d := &c.description
	classes := max(n, 2)
	switch {
	case d.Output == model.Labels && n == 1:
	case d.Output == model.Labels:
		return fmt.Errorf("labels are 1 value for a row, and there are %d: check scores and output", n)
	case n > model.MaxClasses:
		return fmt.Errorf("there are more than %d values for a row, which are no scores of classes", model.MaxClasses)
	case len(d.Classes) > 0 && len(d.Classes) != classes:
		return fmt.Errorf("the configuration has %d classes, and there are scores for %d", len(d.Classes), classes)
	case len(d.Classes) == 0:
		d.Classes = make([]string, classes)
		for i := range d.Classes {
			d.Classes[i] = strconv.Itoa(i)
		}
	}
	c.columns = n
	return nil
}

// learn takes over what the answer to the first request shows.
func (c *Classifier) learn(a answer) error {
	d := &c.description
	columns := (len(a.numbers) + len(a.texts)) / max(1, d.Batch)
	if len(a.texts) > 0 && d.Output == model.UnknownOutput {
		d.Output = model.Labels
	}
	if d.Output == model.Labels && len(d.Classes) == 0 {
		return c.asker.wrong(errors.New("it gives labels: state in classes which there are"))
	}
	if err := c.setColumns(columns); err != nil {
		return c.asker.wrong(err)
	}
	if d.Output == model.UnknownOutput {
		d.Output = model.Logits
		if model.SumToOne(a.numbers[:columns]) {
			d.Output = model.Probabilities
		}
	}
	return c.read(a, make([]float64, len(d.Classes)))
}

// read writes the scores of the first rows of an answer, which may have more.
func (c *Classifier) read(a answer, scores []float64) error {
	d := &c.description
	n := len(scores) / len(d.Classes)
	if d.Output == model.Labels {
		return c.asker.wrong(readLabels(a, d.Classes, n, scores))
	}
	if len(a.texts) > 0 {
		return c.asker.wrong(fmt.Errorf("it has the text %q where scores should be: if it gives labels, state scores: labels", a.texts[0]))
	}
	if len(a.numbers) < n*c.columns || len(a.numbers)%c.columns != 0 {
		return c.asker.wrong(fmt.Errorf("it has %d values for %d rows, where %d for each are right", len(a.numbers), n, c.columns))
	}
	values := a.numbers[:n*c.columns]
	if d.Output == model.Probabilities {
		const rounding = 1e-3 // of 16-bit floats
		if i := slices.IndexFunc(values, func(p float64) bool { return p < -rounding || p > 1+rounding }); i >= 0 {
			return c.asker.wrong(fmt.Errorf("its row %d has the value %g, which is no probability: check scores", i/c.columns, values[i]))
		}
	}
	if c.columns > 1 {
		copy(scores, values)
		return nil
	}
	for i, score := range values {
		scores[2*i], scores[2*i+1] = model.Both(score, d.Output)
	}
	return nil
}

// readLabels gives the class that each label names the score 1. A number that is no
// name is the number of the class, from 0.
func readLabels(a answer, classes []string, n int, scores []float64) error {
	clear(scores)
	for row := range n {
		var label string
		switch {
		case row < len(a.texts):
			label = a.texts[row]
		case row < len(a.numbers):
			label = strconv.FormatFloat(a.numbers[row], 'f', -1, 64)
		default:
			return fmt.Errorf("it has no label for row %d", row)
		}
		class := model.ClassOf(label, len(a.numbers) > 0, classes)
		if class < 0 {
			return fmt.Errorf("its row %d has the label %q, which is none of the classes: check classes", row, label)
		}
		scores[row*len(classes)+class] = 1
	}
	return nil
}
