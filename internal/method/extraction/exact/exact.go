// Package exact recovers a classifier that can only be asked, up to rounding, where its form is known: linear models and
// softmax regression by solving equations, networks with one hidden layer of ReLU by the places at which they bend, and
// decision trees by finding their paths.
//
// Sources are Tramèr et al. 2016 (arXiv:1609.02943), Jagielski et al. 2020 (arXiv:1909.01838) and Carlini et al.
// 2020 (arXiv:2003.04884); each method says what it takes from them.
package exact

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/method"
	"assay/internal/method/extraction"
	"assay/internal/model"
	"assay/onnx"
)

// Method is what form the victim is taken to have.
type Method string

// The methods.
const (
	Linear Method = "exact-linear" // logistic and softmax regression, linear machines
	ReLU   Method = "exact-relu"   // one hidden layer of ReLU
	Tree   Method = "exact-tree"   // one decision tree
)

// Methods gives all methods.
func Methods() []Method { return []Method{Linear, ReLU, Tree} }

// Options say how a model is recovered.
type Options struct {
	Method  Method
	Answers extraction.Answers // that the attacker sees: labels (of Linear alone) or probabilities, which are logits where the victim gives these
	Queries int                // rows that the victim may be asked about, at least 2

	// Domain gives the limits between which each number of a record is asked about. Nothing else of it is kept to: whoever makes
	// up an input can make up numbers that are not whole, and mixtures of categories.
	Domain *method.Domain

	Seed     uint64
	Progress func(asked int)
}

// checks is how many rows the victim is asked about at the end, to see that it has the form that it was taken to have.
const checks = 64

// Run recovers a model. Natural are records of which no label is known; they lead to regions
// that are small, and may be none. The error says where the victim has not the form that the method is for, and where
// the queries do not suffice: nothing is given then.
func Run(ctx context.Context, v extraction.Victim, natural [][]float32, o Options) (*extraction.Surrogate, error) {
	if err := o.check(v); err != nil {
		return nil, err
	}
	a := newOracle(v, o)
	var m *onnx.Model
	var err error
	switch {
	case o.Method == Linear && a.labels:
		m, err = a.linearByLabels(ctx, natural)
	case o.Method == Linear:
		m, err = a.linear(ctx, natural)
	case o.Method == ReLU:
		m, err = a.relu(ctx, natural)
	case o.Method == Tree:
		m, err = a.tree(ctx, natural)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, after %d queries: %w", o.Method, a.asked, err)
	}
	return &extraction.Surrogate{Model: m, Queries: a.asked}, nil
}

func (o *Options) check(v extraction.Victim) error {
	d := v.Model.Describe()
	switch {
	case !slices.Contains(Methods(), o.Method):
		return fmt.Errorf("there is no method %q: use one of %q", o.Method, Methods())
	case o.Answers != extraction.Labels && o.Answers != extraction.Probabilities:
		return fmt.Errorf("answers %q: models are recovered from %s or %s", o.Answers, extraction.Labels, extraction.Probabilities)
	case o.Answers == extraction.Labels && o.Method != Linear:
		return fmt.Errorf("%s needs the model's scores: use answers %q", o.Method, extraction.Probabilities)
	case o.Answers != extraction.Labels && d.Output == model.Labels:
		return fmt.Errorf("the model gives labels alone, and the attacker would see %s: use %s", o.Answers, extraction.Labels)
	case o.Queries < 2 || o.Queries > 1e8:
		return fmt.Errorf("%d queries: give 2 to 100000000", o.Queries)
	case d.Random:
		return errors.New("the model's answers depend on random numbers, and no equations hold between them")
	case o.Domain == nil || len(o.Domain.Low) != d.RowSize():
		return errors.New("the recovery of a model needs a domain as wide as its rows")
	}
	for i, low := range o.Domain.Low {
		if span := float64(o.Domain.High[i]) - float64(low); !(span >= 0) || math.IsInf(span, 0) {
			return fmt.Errorf("number %d of a record has the limits %g and %g, and finite ones are needed: state them in the schema", i+1, low, o.Domain.High[i])
		}
	}
	return o.Domain.Validate()
}

// oracle is the victim as the attacker sees it. It counts what it is asked, and refuses beyond what it may be.
//
// Records are also written in units in which every number goes from -1 to 1 between its limits, u = (x - middle) / half,
// so that equations are well conditioned whatever the numbers' own units. A number that has one value alone stays at 0.
type oracle struct {
	Options
	victim       extraction.Victim
	labels       bool // the winning class is all that is seen
	logarithm    bool // scores are probabilities, of which logarithms are taken
	classes      int
	width        int
	middle, half []float64
	asked        int
	rand         *rand.Rand
}

func newOracle(v extraction.Victim, o Options) *oracle {
	d := v.Model.Describe()
	a := &oracle{Options: o, victim: v, labels: o.Answers == extraction.Labels, logarithm: d.Output == model.Probabilities,
		classes: len(d.Classes), width: d.RowSize(), rand: rand.New(rand.NewPCG(o.Seed, 2))}
	for i, low := range o.Domain.Low {
		high := o.Domain.High[i]
		a.middle = append(a.middle, (float64(low)+float64(high))/2)
		a.half = append(a.half, (float64(high)-float64(low))/2)
	}
	return a
}

// scores are the victim's own of some records, a slice each.
func (a *oracle) scores(ctx context.Context, records [][]float32) ([][]float64, error) {
	const together = 1024
	out := make([][]float64, 0, len(records))
	for part := range slices.Chunk(records, together) {
		if a.asked+len(part) > a.Queries {
			return nil, fmt.Errorf("%d queries do not suffice: allow more", a.Queries)
		}
		rows := make([]float64, 0, len(part)*a.width)
		for _, x := range part {
			if a.victim.Row != nil {
				x = a.victim.Row(x)
			}
			for _, v := range x {
				rows = append(rows, float64(v))
			}
		}
		flat := make([]float64, len(part)*a.classes)
		if err := a.victim.Model.Predict(ctx, rows, flat); err != nil {
			return nil, fmt.Errorf("asking the victim: %w", err)
		}
		a.asked += len(part)
		for row := range slices.Chunk(flat, a.classes) {
			if slices.ContainsFunc(row, func(s float64) bool { return math.IsNaN(s) || math.IsInf(s, 0) }) {
				return nil, errors.New("the victim's scores of an input are no finite numbers: narrow the limits in the schema to what it takes")
			}
			out = append(out, row)
		}
		if a.Progress != nil {
			a.Progress(a.asked)
		}
	}
	return out, nil
}

// winners are the classes that the victim gives records.
func (a *oracle) winners(ctx context.Context, records [][]float32) ([]int, error) {
	scores, err := a.scores(ctx, records)
	out := make([]int, len(scores))
	for i, s := range scores {
		out[i] = winner(s)
	}
	return out, err
}

// winner is the class with the largest score, the first of equals.
func winner(scores []float64) int {
	best := 0
	for k, s := range scores {
		if s > scores[best] {
			best = k
		}
	}
	return best
}

// logits are the scores, or what differs from the logits behind probabilities by one number for all classes of a row: their
// logarithms' leads over the first. Where a probability is below least, or above 1 less that of two, rounding
// has left too little of it: the answer is nil.
func (a *oracle) logits(scores []float64, least float64) []float64 {
	if !a.logarithm {
		return scores
	}
	z := make([]float64, len(scores))
	for k, p := range scores {
		if p < least || len(scores) == 2 && 1-p < least {
			return nil
		}
		z[k] = math.Log(p) - math.Log(scores[0])
	}
	return z
}

// record gives a point, in units, as the record next to it, and where that is in units.
func (a *oracle) record(u []float64) (x []float32, at []float64) {
	x, at = make([]float32, len(u)), make([]float64, len(u))
	for i := range u {
		x[i] = min(max(float32(a.middle[i]+a.half[i]*u[i]), a.Domain.Low[i]), a.Domain.High[i])
	}
	a.units(at, x)
	return x, at
}

func (a *oracle) units(to []float64, x []float32) {
	for i, v := range x {
		to[i] = 0
		if a.half[i] > 0 {
			to[i] = (float64(v) - a.middle[i]) / a.half[i]
		}
	}
}

// anywhere draws a point between the limits, in units.
func (a *oracle) anywhere() []float64 {
	u := make([]float64, a.width)
	for i := range u {
		u[i] = 2*a.rand.Float64() - 1
	}
	return u
}

// free are the numbers of a record that have more than one value.
func (a *oracle) free() (out []int) {
	for i, h := range a.half {
		if h > 0 {
			out = append(out, i)
		}
	}
	return out
}

// input begins a model that takes records, and brings them into units.
func (a *oracle) input(b *onnx.Builder) string {
	middle, scale := make([]float32, a.width), make([]float32, a.width)
	for i, h := range a.half {
		middle[i] = float32(a.middle[i])
		if h > 0 {
			scale[i] = float32(1 / h)
		}
	}
	x := b.Input("input", onnx.Float32, "batch", a.width)
	return b.Op("Mul", nil, b.Op("Sub", nil, x, b.Weight(onnx.NewTensor("middle", middle))), b.Weight(onnx.NewTensor("scale", scale)))
}

// layer adds a dense layer; weights[k] are those of its output k, the last of them its bias.
func layer(b *onnx.Builder, name, x string, weights [][]float64) string {
	in, out := len(weights[0])-1, len(weights)
	w, bias := make([]float32, in*out), make([]float32, out)
	for k, of := range weights {
		for i := range in {
			w[i*out+k] = float32(of[i])
		}
		bias[k] = float32(of[in])
	}
	return b.Op("Gemm", nil, x, b.Weight(onnx.NewTensor(name+".weight", w, int64(in), int64(out))), b.Weight(onnx.NewTensor(name+".bias", bias)))
}

// apply is a dense layer's output.
func apply(weights [][]float64, u []float64) []float64 {
	out := make([]float64, len(weights))
	for k, of := range weights {
		out[k] = dot(of, u) + of[len(u)]
	}
	return out
}

// dot is the product of u with as many numbers of w.
func dot(w, u []float64) (sum float64) {
	for i, v := range u {
		sum += w[i] * v
	}
	return sum
}

// mismatch is where a model that was recovered differs most from the victim.
type mismatch struct {
	at   []float64
	part float64 // of how far the victim's scores go apart; infinite where its class is another by far
}

func (m *mismatch) Error() string {
	if math.IsInf(m.part, 0) {
		return "the model is not of the form that the method is for: of other rows it answers another class"
	}
	return fmt.Sprintf("the model is not of the form that the method is for: on other rows its scores are off by %.2g of their range", m.part)
}

// verify asks about rows, natural ones among them, and compares leads over the first class. What one and the
// other say may differ by a thousandth of how far the victim's go apart: what has another form differs by much more. The
// error is a *mismatch where it does.
func (a *oracle) verify(ctx context.Context, natural [][]float32, least float64, recovered func(u []float64) []float64) error {
	var rows [][]float32
	var at [][]float64
	for i := range checks {
		u := a.anywhere()
		if i < checks/2 && len(natural) > 0 {
			a.units(u, natural[a.rand.IntN(len(natural))])
		}
		x, u := a.record(u)
		rows, at = append(rows, x), append(at, u)
	}
	scores, err := a.scores(ctx, rows)
	if err != nil {
		return err
	}
	worst, low, high := mismatch{}, 0.0, 0.0
	for i, s := range scores {
		z, got := a.logits(s, least), recovered(at[i])
		if z == nil {
			if got[winner(s)] < slices.Max(got)-1 {
				return &mismatch{at[i], math.Inf(1)}
			}
			continue
		}
		for k := range z {
			lead := z[k] - z[0]
			low, high = min(low, lead), max(high, lead)
			if off := math.Abs(got[k] - got[0] - lead); off > worst.part {
				worst = mismatch{at[i], off}
			}
		}
	}
	if worst.part /= high - low; worst.part > 1e-3 {
		return &worst
	}
	return nil
}
