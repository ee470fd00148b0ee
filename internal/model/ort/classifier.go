package ort

import (
	"cmp"
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

var (
	_ model.Classifier = (*Classifier)(nil)
	_ model.Drawing    = (*Classifier)(nil)
)

// How many rows a model of any batch size is given at once.
const (
	defaultBatch = 128
	maxBatch     = 1 << 20
)

// ClassifierOptions say how a model is taken for a classifier and run.
type ClassifierOptions struct {
	Options
	Override model.Override
	Batch    int // rows that a model of any batch size is given at once; 0 for 128
}

// NewClassifier makes a classifier of a model in memory. One row in the middle of
// the model's range, of zeros where there is none, is run to learn what the model
// leaves open: the number of classes, and whether scores are probabilities.
func NewClassifier(ctx context.Context, m *onnx.Model, opts ClassifierOptions) (*Classifier, error) {
	r, err := model.Recognise(m, opts.Override)
	if err != nil {
		return nil, fmt.Errorf("this is not a classifier that can be run: %w", err)
	}
	s, err := New(r.Model, opts.Options)
	if err != nil {
		return nil, err
	}
	return newClassifier(ctx, r, s, opts.Batch)
}

// OpenClassifier makes a classifier of a model in a file, as NewClassifier does.
// The runtime reads the file itself unless the scores are within the graph, before
// a ZipMap; so weights of several GB are not held twice.
func OpenClassifier(ctx context.Context, path string, opts ClassifierOptions) (*Classifier, error) {
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := model.Recognise(m, opts.Override)
	if err != nil {
		return nil, fmt.Errorf("%s is not a classifier that can be run: %w", path, err)
	}
	s, err := newSession(path, r.Model)
	if err != nil {
		return nil, err
	}
	isOutput := func(v onnx.Value) bool { return v.Name == r.Model.Graph.Outputs[0].Name }
	if slices.ContainsFunc(m.Graph.Outputs, isOutput) && !r.Rewritten() {
		s, err = s.startFromFile(path, opts.Options)
	} else {
		s, err = s.startFromModel(r.Model, opts.Options)
	}
	if err != nil {
		return nil, err
	}
	return newClassifier(ctx, r, s, opts.Batch)
}

func newClassifier(ctx context.Context, r *model.Recognised, s *Session, batch int) (_ *Classifier, err error) {
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if batch < 0 || batch > maxBatch {
		return nil, fmt.Errorf("a batch cannot have %d rows", batch)
	}
	r.Model = nil // the runtime has it
	c := &Classifier{recognised: r, session: s, batch: cmp.Or(r.Batch, batch, defaultBatch)}
	c.batch = min(c.batch, model.MaxValues/r.RowSize())
	if err := c.probe(ctx); err != nil {
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

// Predict writes the classes' scores of each row, with the random numbers of draw 0 where there are any.
func (c *Classifier) Predict(ctx context.Context, rows, scores []float64) error {
	return c.PredictDraws(ctx, rows, nil, scores)
}

// PredictDraws is Predict with the random numbers of a draw for each row, of draw 0 where there are no draws.
func (c *Classifier) PredictDraws(ctx context.Context, rows []float64, draws []uint64, scores []float64) error {
	n, err := c.recognised.Rows(rows, scores)
	if err != nil {
		return err
	}
	if draws != nil && len(draws) != n {
		return fmt.Errorf("%d rows have a draw each, and %d are given", n, len(draws))
	}
	w := c.worker()
	defer c.rest(w)
	w.draws = nil
	size, classes := c.recognised.RowSize(), len(c.recognised.Classes)
	for start := 0; start < n; start += c.batch {
		end := min(start+c.batch, n)
		if draws != nil {
			w.draws = draws[start:end]
		}
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
