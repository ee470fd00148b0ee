package evasion

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay"
	"assay/internal/method"
	"assay/internal/method/evasion/linear"
)

// Controls are what a battery does beside its observations, on a few units, so that a
// reader can tell whether it could have found what it did not find.
type Controls struct {
	Units   int     `json:"units"`            // that the model gets right, among those controlled
	Classes int     `json:"classes"`          // of the model
	Bound   bool    `json:"bound"`            // something of the inputs is fixed, or bound by relations or groups
	Curve   []Point `json:"curve"`            // success of the strongest methods by eps, ascending; the last at the whole domain
	Zero    Point   `json:"zero"`             // the whole battery at eps 0
	Random  bool    `json:"random,omitempty"` // the model draws at random, and says so
	Drawn   int     `json:"drawn"`            // units of which the model, asked twice, gave different scores
	Doubled *Point  `json:"doubled"`          // the strongest methods with doubled effort at the attacker's eps; nil where queries limit them
	Slopes  *Slopes `json:"slopes"`           // nil without gradients
	Known   *Known  `json:"known"`            // nil where none could be made
	Tree    *Known  `json:"tree,omitempty"`   // the methods for trees on a tree; nil where the model is none
	None    string  `json:"none,omitempty"`   // why there is no known answer
}

// Point is which units were broken at an eps.
type Point struct {
	Eps    float64 `json:"eps"`
	Broken []int64 `json:"broken"` // indices, ascending
	Units  int     `json:"units"`
}

// fractions of the attacker's eps at which the curve is observed.
var fractions = []float64{0.25, 0.5, 1, 2, 4}

// Controls runs the controls on inputs.
func (b *Battery) Controls(ctx context.Context, t method.Target, inputs []method.Input, o method.Options) (*Controls, error) {
	o.Progress = nil
	k := &controller{Battery: b, target: t, options: o}
	d := t.Model.Describe()
	c := &Controls{Classes: d.Labels(), Bound: bound(t.Domain), Random: d.Random}
	right, err := k.right(ctx, inputs)
	if err != nil {
		return nil, err
	}
	c.Units = len(right)
	if c.Drawn, err = k.drawn(ctx, right); err != nil {
		return nil, err
	}
	if c.Zero, err = k.point(ctx, 0, Adaptive(t, Defaults(b.access(t), b.Attacker.Norm, light)), right); err != nil {
		return nil, err
	}
	if b.Attacker.Eps > 0 {
		if err := k.curve(ctx, c, right); err != nil {
			return nil, err
		}
	}
	if b.access(t) == assay.Gradients {
		if c.Slopes, err = k.slopes(ctx, right); err != nil {
			return nil, err
		}
	}
	if c.Tree, err = k.knownTree(ctx, inputs); err != nil {
		return nil, err
	}
	c.Known, err = k.known(ctx, inputs)
	var none *noAnswer
	if errors.As(err, &none) {
		c.None, err = none.reason, nil
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// light is the effort where nothing is to be found.
var light = Effort{Steps: 3, Restarts: 2, Queries: 20, Draws: 20}

type controller struct {
	*Battery
	target  method.Target
	options method.Options
}

// right gives the inputs that the model gets right.
func (k *controller) right(ctx context.Context, inputs []method.Input) ([]method.Input, error) {
	results, err := method.Run(ctx, k.target, k.Attacker, nil, inputs, k.options)
	if err != nil {
		return nil, fmt.Errorf("controls: %w", err)
	}
	var out []method.Input
	for i, r := range results {
		if r.Correct {
			out = append(out, inputs[i])
		}
	}
	return out, nil
}

// repeated is the part of the largest score by which two answers to one question may differ.
const repeated = 1e-4

// drawn counts the inputs of which the model, asked about them twice, gives different scores, as one does that draws at
// random. Rounding alone is no difference.
func (k *controller) drawn(ctx context.Context, inputs []method.Input) (n int, _ error) {
	for _, in := range inputs {
		first, err := alone(ctx, k.target, in.X)
		if err != nil {
			return 0, err
		}
		second, err := alone(ctx, k.target, in.X)
		if err != nil {
			return 0, err
		}
		if Apart(first, second) {
			n++
		}
	}
	return n, nil
}

// Apart reports whether two answers to one question differ by more than rounding.
func Apart(first, second []float64) bool {
	apart, size := 0.0, 0.0
	for i, v := range first {
		if v != second[i] {
			apart = max(apart, math.Abs(v-second[i])) // of NaN it is NaN
		}
		size = max(size, math.Abs(v))
	}
	return apart != 0 && !(apart <= repeated*size)
}

// alone gives the scores of one row by itself on the confirming model.
func alone(ctx context.Context, t method.Target, x []float32) ([]float64, error) {
	row, out := make([]float64, len(x)), make([]float64, len(t.Confirm.Describe().Classes))
	for j, v := range x {
		row[j] = float64(v)
	}
	if err := t.Confirm.Predict(ctx, row, out); err != nil {
		return nil, fmt.Errorf("scores of the controls: %w", err)
	}
	return out, nil
}

// point runs methods at an eps.
func (k *controller) point(ctx context.Context, eps float64, methods []method.Method, inputs []method.Input) (Point, error) {
	a := k.attacker()
	a.Eps = eps
	if eps == 0 {
		a.Groups = 0
	}
	results, err := method.Run(ctx, k.target, a, methods, inputs, k.options)
	if err != nil {
		return Point{}, fmt.Errorf("controls at eps %g: %w", eps, err)
	}
	p := Point{Eps: eps, Broken: []int64{}, Units: len(inputs)}
	for _, r := range results {
		if !r.Robust {
			p.Broken = append(p.Broken, r.Index)
		}
	}
	slices.Sort(p.Broken)
	return p, nil
}

// curve observes success by eps, and with doubled effort.
func (k *controller) curve(ctx context.Context, c *Controls, right []method.Input) error {
	access := k.access(k.target)
	methods := k.strongest(k.target, k.effort())
	for _, eps := range k.budgets() {
		p, err := k.point(ctx, eps, methods, right)
		if err != nil {
			return err
		}
		c.Curve = append(c.Curve, p)
	}
	if access != assay.Gradients {
		return nil
	}
	p, err := k.point(ctx, k.Attacker.Eps, k.strongest(k.target, k.effort().Double()), right)
	c.Doubled = &p
	return err
}

// budgets are the values of eps of the curve: parts and multiples of the attacker's below
// the whole domain, the attacker's own, and the whole domain.
func (k *controller) budgets() []float64 {
	whole := max(extent(k.target.Domain, k.Attacker.Norm), k.Attacker.Eps)
	var out []float64
	for _, f := range fractions {
		if eps := f * k.Attacker.Eps; eps < whole {
			out = append(out, eps)
		}
	}
	return append(out, whole)
}

// extent is the largest distance between two inputs of a domain, in its scale; numbers without limits do not count.
func extent(d *method.Domain, norm method.Norm) float64 {
	sum, squares, largest := 0.0, 0.0, 0.0
	for i, low := range d.Low {
		if d.Fixed != nil && d.Fixed[i] {
			continue
		}
		if width := (float64(d.High[i]) - float64(low)) / float64(d.Scale[i]); !math.IsInf(width, 0) {
			sum += width
			squares += width * width
			largest = max(largest, width)
		}
	}
	switch norm {
	case method.L2:
		return math.Sqrt(squares)
	case method.L1:
		return sum
	case method.L0:
		return float64(len(d.Low)) // no fewer than there are pixels
	}
	return largest
}

// bound reports whether an attacker cannot reach all of a domain's box.
func bound(d *method.Domain) bool {
	return slices.Contains(d.Fixed, true) || len(d.Relations) > 0 || len(d.Groups) > 0
}

// Known is the battery's strongest methods on a linear model of which the exact answer is known.
type Known struct {
	Eps    float64  `json:"eps"`    // that suffices for half of the units
	Factor float64  `json:"factor"` // by which more a method may need
	Most   float64  `json:"most"`   // that suffices for each of them, with room to spare where there is any
	Exact  []Answer `json:"exact"`  // at Eps
	Beyond []Answer `json:"beyond"` // at Eps·Factor
	All    []Answer `json:"all"`    // at Most
}

// Answer is one unit of the linear model.
type Answer struct {
	Index  int64   `json:"index"`
	Limit  float64 `json:"limit"` // the eps from which on it can be broken
	Broken bool    `json:"broken"`
}

// beyond is by what factor an eps must exceed the exact limit before the methods of an access are expected
// to break a unit. Gradients lead to the end of a linear model, but of ten classes towards that which is ahead on the
// way, not always that which can be reached with the least; a random search of 1000 queries on 784
// numbers needed 1.5 to 2 times as much.
var beyond = map[assay.Access]float64{assay.Gradients: 1.2, assay.Scores: 2, assay.Labels: 2}

// noAnswer says why there is no linear model to compare with.
type noAnswer struct{ reason string }

func (e *noAnswer) Error() string { return e.reason }

func (k *controller) known(ctx context.Context, inputs []method.Input) (*Known, error) {
	twin, err := k.twin(ctx, inputs)
	if err != nil {
		return nil, err
	}
	defer twin.close()
	directed := k.access(k.target)
	if directed == assay.Gradients && k.Attacker.Norm == method.L0 {
		directed = assay.Scores // which the battery rests on there
	}
	out := &Known{Eps: twin.eps, Factor: beyond[directed], Most: 2 * twin.most}
	for _, at := range []struct {
		eps     float64
		answers *[]Answer
	}{{out.Eps, &out.Exact}, {out.Eps * out.Factor, &out.Beyond}, {out.Most, &out.All}} {
		if *at.answers, err = twin.attack(ctx, at.eps); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// twin is a linear model of the controls' inputs.
type twin struct {
	*controller
	target    method.Target
	inputs    []method.Input // that it gets right and that can be broken
	limits    []float64      // of these
	eps, most float64
	close     func()
}

func (k *controller) twin(ctx context.Context, inputs []method.Input) (*twin, error) {
	var rows []float32
	var labels []int32
	for _, in := range inputs {
		rows, labels = append(rows, in.X...), append(labels, int32(in.Label))
	}
	c, err := linear.Fit(rows, len(k.target.Domain.Low), labels)
	if err != nil {
		return nil, &noAnswer{err.Error()}
	}
	t := &twin{controller: k}
	domain := linear.Relaxed(k.target.Domain)
	for _, in := range inputs {
		in.Label = c.Class(int32(in.Label))
		space := &method.Space{Domain: domain, Norm: k.Attacker.Norm, Eps: extent(domain, k.Attacker.Norm), Clean: in.X}
		limit := c.Limit(space, in.Label)
		if c.Label(in.X) == in.Label && !math.IsInf(limit, 1) {
			t.inputs, t.limits = append(t.inputs, in), append(t.limits, limit)
			t.most = max(t.most, limit)
		}
	}
	var ok bool
	if t.eps, ok = linear.Median(t.limits); !ok {
		return nil, &noAnswer{"no unit of the linear model can be broken within the domain"}
	}
	if t.target, t.close, err = k.Open(ctx, c.Model(k.Shape)); err != nil {
		return nil, fmt.Errorf("the linear model of the controls: %w", err)
	}
	t.target.Domain, t.target.Pool = domain, k.target.Pool
	return t, nil
}

func (t *twin) attack(ctx context.Context, eps float64) ([]Answer, error) {
	on := &controller{Battery: t.Battery, target: t.target, options: t.options}
	p, err := on.point(ctx, eps, Adaptive(t.target, strongest(t.access(t.controller.target), t.Attacker.Norm, t.effort())), t.inputs)
	if err != nil {
		return nil, fmt.Errorf("on the linear model: %w", err)
	}
	var out []Answer
	for i, in := range t.inputs {
		_, broken := slices.BinarySearch(p.Broken, in.Index)
		out = append(out, Answer{in.Index, t.limits[i], broken})
	}
	return out, nil
}
