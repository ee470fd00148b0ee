// Package modeltest holds what every implementation of model.Classifier must satisfy.
package modeltest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"assay/internal/model"
)

// Tolerance is the difference, relative to the larger of a score and 1, that the
// batch around a row may make to its scores: float32 sums in another order.
const Tolerance = 1e-5

// Run tests a classifier on some rows of input, which should differ from each
// other. Open gives a new classifier of the same model at each call.
func Run(t *testing.T, open func(t *testing.T) model.Classifier, rows []float64) {
	tests := []struct {
		name string
		test func(*testing.T, model.Classifier, []float64)
	}{
		{"description", description},
		{"scores", scores},
		{"input unchanged", inputUnchanged},
		{"same scores again", again},
		{"same scores in any batch", anyBatch},
		{"same scores side by side", sideBySide},
		{"no rows", noRows},
		{"wrong sizes", wrongSizes},
		{"ended context", endedContext},
		{"closed", closed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := open(t)
			defer c.Close()
			if d := c.Describe(); len(rows) < 2*d.RowSize() || len(rows)%d.RowSize() != 0 {
				t.Fatalf("the suite wants two or more whole rows of %d values, and has %d values", d.RowSize(), len(rows))
			}
			tt.test(t, c, rows)
		})
	}
}

func predict(t *testing.T, c model.Classifier, rows []float64) []float64 {
	t.Helper()
	d := c.Describe()
	scores := make([]float64, len(rows)/d.RowSize()*len(d.Classes))
	if err := c.Predict(context.Background(), rows, scores); err != nil {
		t.Fatal(err)
	}
	return scores
}

// compare reports the first pair of scores that are too far apart.
func compare(got, want []float64) error {
	for i := range want {
		if d := math.Abs(got[i] - want[i]); !(d <= Tolerance*max(1, math.Abs(want[i]))) {
			return fmt.Errorf("score %d is %g, not %g", i, got[i], want[i])
		}
	}
	return nil
}

func description(t *testing.T, c model.Classifier, _ []float64) {
	d := c.Describe()
	if len(d.Classes) < 2 || d.Output == model.UnknownOutput || d.Layout == "" || !(d.Range.Low < d.Range.High) || d.Range.Basis == "" {
		t.Errorf("the description is incomplete: %+v", d)
	}
	d.Classes[0] += "changed"
	if c.Describe().Classes[0] == d.Classes[0] {
		t.Error("the caller can change the description")
	}
}

func scores(t *testing.T, c model.Classifier, rows []float64) {
	d := c.Describe()
	for i, s := range slices.Collect(slices.Chunk(predict(t, c, rows), len(d.Classes))) {
		for _, v := range s {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("row %d: score %g", i, v)
			}
		}
		outside := slices.Min(s) < 0 || slices.Max(s) > 1+Tolerance
		if d.Output == model.Probabilities && outside {
			t.Errorf("row %d: %v are not probabilities", i, s)
		}
		slices.Sort(s)
		if d.Output == model.Labels && (s[len(s)-1] != 1 || s[len(s)-2] != 0) {
			t.Errorf("row %d: not one class has score 1", i)
		}
	}
}

func inputUnchanged(t *testing.T, c model.Classifier, rows []float64) {
	before := slices.Clone(rows)
	predict(t, c, rows)
	if !slices.Equal(rows, before) {
		t.Error("Predict changed its input")
	}
}

func again(t *testing.T, c model.Classifier, rows []float64) {
	first := predict(t, c, rows)
	if !slices.Equal(first, predict(t, c, rows)) {
		t.Error("the same call gave other scores")
	}
}

func anyBatch(t *testing.T, c model.Classifier, rows []float64) {
	d := c.Describe()
	n := len(rows) / d.RowSize()
	want := predict(t, c, rows)
	for i := range n {
		row := rows[i*d.RowSize() : (i+1)*d.RowSize()]
		if err := compare(predict(t, c, row), want[i*len(d.Classes):(i+1)*len(d.Classes)]); err != nil {
			t.Errorf("row %d alone: %v", i, err)
		}
	}
	const times = 150 // more rows than a batch has
	many := slices.Repeat(rows, (times+n-1)/n)
	if err := compare(predict(t, c, many), slices.Repeat(want, (times+n-1)/n)); err != nil {
		t.Errorf("among %d rows: %v", len(many)/d.RowSize(), err)
	}
}

func sideBySide(t *testing.T, c model.Classifier, rows []float64) {
	want := predict(t, c, rows)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got := make([]float64, len(want))
			for range 5 {
				if err := c.Predict(context.Background(), rows, got); err != nil {
					t.Error(err)
				} else if err := compare(got, want); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func noRows(t *testing.T, c model.Classifier, _ []float64) {
	if err := c.Predict(context.Background(), nil, nil); err != nil {
		t.Error(err)
	}
}

func wrongSizes(t *testing.T, c model.Classifier, rows []float64) {
	d := c.Describe()
	one, classes := rows[:d.RowSize()], len(d.Classes)
	for _, scores := range []int{0, classes - 1, classes + 1, 2 * classes} {
		if c.Predict(context.Background(), one, make([]float64, scores)) == nil {
			t.Errorf("one row with room for %d scores of %d classes is accepted", scores, classes)
		}
	}
	if d.RowSize() > 1 && c.Predict(context.Background(), rows[:d.RowSize()+1], make([]float64, classes)) == nil {
		t.Error("a row and a value are accepted")
	}
}

func endedContext(t *testing.T, c model.Classifier, rows []float64) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d := c.Describe()
	err := c.Predict(ctx, rows, make([]float64, len(rows)/d.RowSize()*len(d.Classes)))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context gives %v", err)
	}
	predict(t, c, rows) // and the classifier still works
}

func closed(t *testing.T, c model.Classifier, rows []float64) {
	d := c.Describe()
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if c.Predict(context.Background(), rows, make([]float64, len(rows)/d.RowSize()*len(d.Classes))) == nil {
		t.Error("a closed classifier still answers")
	}
}
