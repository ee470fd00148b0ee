package train

import (
	"context"
	"math"
	"slices"

	"assay/onnx"
)

// Evaluate measures a model on examples: the loss of the options and the accuracy.
// Of the options only Loss, Output, Batch, Threads and Library count.
func Evaluate(ctx context.Context, m *onnx.Model, d *Data, o Options) (Score, error) {
	o = Options{Loss: o.Loss, Output: o.Output, Batch: o.Batch, Threads: o.Threads, Library: o.Library}
	if err := o.complete(d); err != nil {
		return Score{}, err
	}
	p, err := newPlan(m, d, &o)
	if err != nil {
		return Score{}, err
	}
	e, err := p.newEvaluator(&memory{}, d, &o)
	if err != nil {
		return Score{}, err
	}
	defer e.close()
	return e.score(ctx)
}

// evaluator measures a model as it stands on examples.
type evaluator struct {
	*runner
	data  *Data
	full  *Batch
	rest  *Batch // what is left in the end; nil where that is none, or the batch is fixed
	order []int
}

func (p *plan) newEvaluator(m *memory, d *Data, o *Options) (*evaluator, error) {
	graph, err := p.evaluationGraph(o.Loss)
	if err != nil {
		return nil, err
	}
	size := min(o.Batch, d.Len())
	if p.batch > 0 {
		size = p.batch
	}
	e := &evaluator{data: d, full: p.newBatch(size, d)}
	if left := d.Len() % size; left > 0 && p.batch == 0 {
		e.rest = p.newBatch(left, d)
	}
	for i := range d.Len() {
		e.order = append(e.order, i)
	}
	e.runner, err = p.newRunner(graph, slices.Concat(m.parameters, m.statistics), nil, false, o)
	return e, err
}

// score goes through all examples. A fixed batch is filled up, and only the
// examples themselves count.
func (e *evaluator) score(ctx context.Context) (Score, error) {
	t := tally{}
	for order := e.order; len(order) > 0; {
		b := e.full
		if len(order) < b.Len() && e.rest != nil {
			b = e.rest
		}
		n := min(b.Len(), len(order))
		b.fill(e.data, order[:n], 1)
		if err := e.run(ctx, b); err != nil {
			return Score{}, err
		}
		t.add(b, n)
		order = order[n:]
	}
	return t.score(), nil
}

// tally adds up examples' losses and hits.
type tally struct {
	loss, hits, weight float64
}

// add counts the first n examples of a batch that was run, and reports whether
// their losses are finite.
func (t *tally) add(b *Batch, n int) bool {
	columns := len(b.scores) / b.Len()
	for i := range n {
		w := float64(b.raw[i])
		t.weight += w
		if w > 0 {
			t.loss += w * float64(b.loss[i])
		}
		if b.Classes != nil && highest(b.scores[i*columns:(i+1)*columns]) == int(b.Classes[i]) {
			t.hits += w
		}
	}
	return !math.IsNaN(t.loss) && !math.IsInf(t.loss, 0)
}

func (t *tally) score() Score {
	if t.weight == 0 {
		return Score{}
	}
	return Score{Loss: t.loss / t.weight, Accuracy: t.hits / t.weight}
}

// highest is the class with the greatest score, the first of equals.
func highest(scores []float32) int {
	best := 0
	for i, v := range scores {
		if v > scores[best] {
			best = i
		}
	}
	return best
}
