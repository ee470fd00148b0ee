package ort

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"assay/internal/model"
	"assay/onnx"
)

// Classifier runs a recognised model in batches. It implements model.Classifier.
type Classifier struct {
	recognised *model.Recognised
	session    *Session
	batch      int
	result     []int64 // shape of the output, the first dimension aside

	mu   sync.Mutex
	idle []*worker // memory for a batch each, reused
}

var _ model.Classifier = (*Classifier)(nil)

// How many rows a model of any batch size is given at once.
const (
	defaultBatch = 128
	maxBatch     = 1 << 20
)

// NewClassifier makes a classifier of a model. Batch is the number of rows that a
// model of any batch size is given at once, 0 for 128. Where the model does not
//
//	or what its scores mean, one row of the middle of its range
//
// (zeros where it has none) is run to see.
func NewClassifier(ctx context.Context, m *onnx.Model, o model.Override, batch int, opts Options) (*Classifier, error) {
	r, err := model.Recognise(m, o)
	if err != nil {
		return nil, fmt.Errorf("the model is not a classifier that can be tested: %w", err)
	}
	s, err := New(r.Model, opts)
	if err != nil {
		return nil, err
	}
	c := &Classifier{recognised: r, session: s, batch: batch}
	switch {
	case r.Batch > 0:
		c.batch = r.Batch
	case batch < 0 || batch > maxBatch:
		err = fmt.Errorf("a batch cannot have %d rows", batch)
	case batch == 0:
		c.batch = defaultBatch
	}
	c.batch = min(c.batch, model.MaxValues/r.RowSize())
	if err == nil {
		err = c.probe(ctx)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return c, nil
}

// Describe tells what the model takes and gives.
func (c *Classifier) Describe() model.Description {
	d := c.recognised.Description
	d.Shape, d.Classes = slices.Clone(d.Shape), slices.Clone(d.Classes)
	return d
}

// Close frees the model's memory after waiting for its runs.
func (c *Classifier) Close() error { return c.session.Close() }

// Predict writes the classes' scores of each row.
func (c *Classifier) Predict(ctx context.Context, rows, scores []float64) error {
	n, err := c.recognised.Rows(rows, scores)
	if err != nil {
		return err
	}
	w := c.worker()
	defer c.rest(w)
	size, classes := c.recognised.RowSize(), len(c.recognised.Classes)
	for start := 0; start < n; start += c.batch {
		end := min(start+c.batch, n)
		out, err := w.run(ctx, rows[start*size:end*size], c.result)
		if err != nil {
			return err
		}
		if err := c.read(out, scores[start*classes:end*classes]); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (c *Classifier) worker() *worker {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.idle); n > 0 {
		w := c.idle[n-1]
		c.idle = c.idle[:n-1]
		return w
	}
	return &worker{classifier: c}
}

func (c *Classifier) rest(w *worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, w)
}
