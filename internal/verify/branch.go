package verify

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"sync"

	"assay/internal/model/ort"
	"assay/internal/vnnlib"
	"assay/onnx"
	"assay/onnx/bounds"
)

// round is how many boxes are taken from the heap at once: more would be looked at too
// early, fewer leave processors idle. It is the same on any machine.
const round = 128

// looseness is the weight of what is missing to a proof beside slopes, where a box is divided.
const looseness = 4

// demand is one constraint of a case: the row that is bounded, and what it must exceed for
// the constraint not to be met.
type demand struct {
	row    int
	limit  float64
	strict bool
}

// shown reports whether a bound from below shows that the constraint is not met.
func (d demand) shown(low float64) bool { return low > d.limit || d.strict && low >= d.limit }

// brancher divides boxes until all are proved or one has a counterexample.
type brancher struct {
	p       *vnnlib.Property
	o       Options
	shape   []int64
	rows    int         // of each call, at most what a case has
	matrix  [][]float32 // of each case, [rows outputs]
	demands [][][]demand
	bounds  *ort.Session
	search  *searcher
	judge   *judge

	open    boxes
	narrow  []*box
	found   *Counterexample
	proved  float64
	bounded int
	made    int
}

func newBrancher(m *onnx.Model, p *vnnlib.Property, shape []int64, o Options) (_ *brancher, err error) {
	b := &brancher{p: p, o: o, shape: shape}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if err := b.combine(); err != nil {
		return nil, err
	}
	bounded, err := bounds.New(m, bounds.Options{Method: bounds.CROWN, Rows: b.rows, Slopes: true})
	if err != nil {
		return nil, err
	}
	if rows := bounded.Graph.Inputs[2].Type.Shape; rows[len(rows)-1].Size != int64(p.Outputs) {
		return nil, fmt.Errorf("the property has %d outputs, and the model gives %s numbers: they are not about the same network", p.Outputs, rows[len(rows)-1])
	}
	if b.bounds, err = ort.New(bounded, ort.Options{Threads: 1, Library: o.Library}); err != nil {
		return nil, err
	}
	if b.judge, err = newJudge(m, p, shape, o.Library); err != nil {
		return nil, err
	}
	if b.search, err = newSearcher(m, p, shape, o); err != nil {
		return nil, err
	}
	for i, c := range p.Cases {
		b.push(whole(i, c, 1/float64(len(p.Cases))))
	}
	return b, nil
}

// Close frees the runtime's sessions.
func (b *brancher) Close() {
	if b.bounds != nil {
		b.bounds.Close()
	}
	if b.judge != nil {
		b.judge.Close()
	}
	if b.search != nil {
		b.search.Close()
	}
}

// combine lists the combinations of outputs that each case needs bounds of.
func (b *brancher) combine() error {
	for _, c := range b.p.Cases {
		at := map[string]int{}
		var matrix []float32
		var demands [][]demand
		for _, conjunction := range c.Unsafe {
			var list []demand
			for _, constraint := range conjunction {
				row := make([]float32, b.p.Outputs)
				for i, k := range constraint.Coefficients {
					if row[i] = float32(k); float64(row[i]) != k {
						return fmt.Errorf("the coefficient %v of Y_%d is no float32: multiply the constraint by what makes its coefficients whole numbers", k, i)
					}
				}
				key := fmt.Sprint(row)
				if _, ok := at[key]; !ok {
					at[key] = len(at)
					matrix = append(matrix, row...)
				}
				list = append(list, demand{at[key], constraint.Bound, constraint.Strict})
			}
			demands = append(demands, list)
		}
		b.rows = max(b.rows, len(at))
		b.matrix, b.demands = append(b.matrix, matrix), append(b.demands, demands)
	}
	for i := range b.matrix { // to the same number of rows
		b.matrix[i] = append(b.matrix[i], make([]float32, b.rows*b.p.Outputs-len(b.matrix[i]))...)
	}
	return nil
}

func (b *brancher) push(x *box) {
	x.order = b.made
	b.made++
	heap.Push(&b.open, x)
}

func (b *brancher) result() *Result {
	r := &Result{Verdict: Unknown, Proved: min(b.proved, 1), Boxes: b.bounded, Left: len(b.open) + len(b.narrow), Narrow: len(b.narrow)}
	switch {
	case b.found != nil:
		r.Verdict, r.Counterexample, r.Left, r.Narrow = Violated, b.found, 0, 0
	case r.Left == 0:
		r.Verdict = Holds
		r.Proved = 1
	}
	return r
}

// run searches and divides until the property is decided.
func (b *brancher) run(ctx context.Context) error {
	for i := range b.p.Cases {
		points, err := b.search.descend(ctx, i)
		if err != nil {
			return err
		}
		if err := b.confirm(ctx, i, points); err != nil || b.found != nil {
			return err
		}
	}
	for len(b.open) > 0 && b.found == nil {
		if err := b.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// confirm asks the judge about candidates, until one is a counterexample.
func (b *brancher) confirm(ctx context.Context, of int, points [][]float32) error {
	for _, x := range points {
		found, err := b.judge.confirm(ctx, of, x)
		if err != nil {
			return err
		}
		if found != nil {
			b.found = found
			return nil
		}
	}
	return nil
}

// step takes a round of boxes and puts back what is left of them. Where it fails none is lost.
func (b *brancher) step(ctx context.Context) error {
	var taken []*box
	for len(b.open) > 0 && len(taken) < round {
		taken = append(taken, heap.Pop(&b.open).(*box))
	}
	outcomes, err := b.all(ctx, taken)
	if err != nil {
		for _, x := range taken {
			heap.Push(&b.open, x)
		}
		return err
	}
	b.bounded += len(taken)
	for i, o := range outcomes {
		if len(o.left) == 0 {
			b.proved += taken[i].share
		}
		if o.narrow {
			b.narrow = append(b.narrow, o.left...)
			continue
		}
		for _, x := range o.left {
			b.push(x)
		}
	}
	for i, o := range outcomes {
		if err := b.confirm(ctx, taken[i].of, o.candidates); err != nil || b.found != nil {
			return err
		}
	}
	return nil
}

// all looks at boxes in batches, some at once.
func (b *brancher) all(ctx context.Context, list []*box) ([]outcome, error) {
	outcomes := make([]outcome, len(list))
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed error
	slots := make(chan struct{}, b.o.Workers)
	for start := 0; start < len(list); start += b.o.Batch {
		end := min(start+b.o.Batch, len(list))
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			err := ctx.Err()
			if err == nil {
				err = b.batch(ctx, list[start:end], outcomes[start:end])
			}
			if err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return outcomes, failed
}

// outcome is what became of a box.
type outcome struct {
	rest       *box        // what of it is not proved; nil where all is
	left       []*box      // rest, divided
	narrow     bool        // it cannot be divided
	candidates [][]float32 // inputs whose outputs seem unsafe
	direction  []float64   // in which the bounds rise of what is missing most, of each number
	score      []float64   // by how much a proof is nearer for each number's width, likewise
}

// batch bounds some boxes.
func (b *brancher) batch(ctx context.Context, list []*box, outcomes []outcome) error {
	n, k := int64(len(list)), b.p.Inputs
	var lower, upper, rows []float32
	for _, x := range list {
		lower, upper = append(lower, x.lower...), append(upper, x.upper...)
		rows = append(rows, b.matrix[x.of]...)
	}
	shape := append([]int64{n}, b.shape...)
	out := make([]*ort.Tensor, 3)
	feeds := []*ort.Tensor{ort.NewTensor(lower, shape...), ort.NewTensor(upper, shape...), ort.NewTensor(rows, n, int64(b.rows), int64(b.p.Outputs))}
	if err := b.bounds.Run(ctx, feeds, out); err != nil {
		return err
	}
	low, slopes, linear := ort.Data[float32](out[0]), ort.Data[float32](out[1]), ort.Data[float32](out[2])
	for i, x := range list {
		from, to := i*b.rows, (i+1)*b.rows
		lines := make([]line, b.rows)
		for r := range lines {
			lines[r] = line{float64(linear[from+r]), slopes[(from+r)*k : (from+r+1)*k]}
		}
		outcomes[i] = b.look(x, low[from:to], lines)
	}
	if err := b.search.try(ctx, outcomes); err != nil {
		return err
	}
	for i := range outcomes {
		outcomes[i].divide()
	}
	return nil
}

// look proves a box by its bounds, or says what of it is left.
func (b *brancher) look(x *box, low []float32, lines []line) outcome {
	var o outcome
	least := math.Inf(1)
	for _, conjunction := range b.demands[x.of] {
		rest := x.remains(conjunction, low, lines)
		if rest == nil {
			continue
		}
		if o.rest == nil {
			o.rest = rest
			o.score, o.direction = make([]float64, b.p.Inputs), make([]float64, b.p.Inputs)
		} else {
			o.rest.hull(rest)
		}
		// The constraint that is nearest to be shown is that of which to divide for.
		nearest, missing := conjunction[0].row, math.Inf(-1)
		for _, d := range conjunction {
			if m := float64(low[d.row]) - d.limit; m > missing {
				nearest, missing = d.row, m
			}
		}
		x.weigh(o.score, missing, lines[nearest], b.search.steep[x.of])
		if missing < least {
			least = missing
			clear(o.direction)
			for _, d := range conjunction {
				for j, s := range lines[d.row].slopes {
					o.direction[j] += float64(s)
				}
			}
		}
	}
	if o.rest != nil {
		o.rest.least = min(least, 0)
	}
	return o
}

// weigh adds to a score what each number has to do with a bound that misses a limit: its slope,
// which alone would be blind to the looseness of relaxations, and of what is missing a
// share by how steep the model is on the whole case.
func (b *box) weigh(score []float64, missing float64, l line, steep []float64) {
	total := 0.0
	for j := range steep {
		total += steep[j] * (float64(b.upper[j]) - float64(b.lower[j]))
	}
	for j, s := range l.slopes {
		score[j] += math.Abs(float64(s)) - looseness*missing*steep[j]/total
	}
}

// divide halves what is left.
func (o *outcome) divide() {
	if o.rest == nil {
		return
	}
	first, second, ok := o.rest.halves(o.score)
	if o.narrow = !ok; ok {
		o.left = []*box{first, second}
	} else {
		o.left = []*box{o.rest}
	}
}

// remains gives the part of a box where all constraints of a conjunction may be met, nil
// where none is left.
func (b *box) remains(conjunction []demand, low []float32, lines []line) *box {
	for _, d := range conjunction {
		if d.shown(float64(low[d.row])) {
			return nil
		}
	}
	rest := b.copied()
	for _, d := range conjunction {
		if !rest.clip(b, lines[d.row], d.limit) {
			return nil
		}
	}
	return rest
}
